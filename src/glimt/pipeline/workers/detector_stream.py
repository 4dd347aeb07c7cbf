"""The detector among the streams of an event: its frames, what its header said, and where its pixels are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.codecs import dectris_v1, dectris_v2, stins
from glimt.codecs.crystfel_geometry import parse_geometry
from glimt.codecs.crystfel_geometry_detector import detector_geometry
from glimt.codecs.crystfel_geometry_mask import constant_mask
from glimt.codecs.crystfel_geometry_planes import file_mask, saturation_values
from glimt.codecs.crystfel_geometry_record import CrystfelGeometry
from glimt.codecs.registry import parse
from glimt.kernels.masks import combine_masks, mask_values
from glimt.kernels.masks_file import read_hdf5_array, read_mask
from glimt.model.detector_geometry import DetectorGeometry
from glimt.model.errors import DecodeError, UsageError
from glimt.model.event import EventData
from glimt.model.geometry import Poni
from glimt.model.parameters import BinaryParameter, Parameter, StrParameter
from glimt.model.poni_text import parse_poni
from glimt.pipeline.workers.series_header import SeriesHeader, header_of
from glimt.pipeline.workers.untrusted_pixels import UntrustedPixels

Frame = npt.NDArray[Any]
Values = Mapping[str, Any]
"""Parameters as a worker is given them."""

_DETECTORS = frozenset(module.PROTOCOL.typ for module in (stins, dectris_v1, dectris_v2))


def stream_parameters() -> list[Parameter]:
    """Return the parameters that all workers for frames have."""
    return [
        StrParameter(name="stream", description="stream of the detector; empty: the only one that has frames"),
        BinaryParameter(name="poni", description="content of a PONI file; empty: what the detector's header says"),
        StrParameter(name="mask", description="mask to use as well, mask.npy or mask.h5:/path, not 0 = excluded"),
    ]


def geometry_parameter() -> Parameter:
    """Return the parameter of workers that also understand detectors of several panels."""
    return BinaryParameter(name="geometry", description="content of a CrystFEL geometry file, instead of poni")


def setting(parameters: Values | None, name: str, default: Any) -> Any:
    """Return the value of a parameter, ``default`` if nobody set it and no class describes it."""
    entry = (parameters or {}).get(name)
    return default if entry is None or entry.value is None else entry.value


class DetectorStream:
    """Reads the frames of one detector from events.

    Attributes
    ----------
    header : SeriesHeader
        Of the newest series; empty before the first, and for detectors that have none.
    n_headers : int
        How many there were: what was made for one header may be wrong for the next.
    modules : (int, int, int) or None
        Shape (module, slow, fast) of the newest frame, if it has modules.
    """

    def __init__(self) -> None:
        self.header, self.n_headers = SeriesHeader(), 0
        self.modules: tuple[int, int, int] | None = None

    def read(self, event: EventData, parameters: Values | None) -> Frame | None:
        """Return the frame (slow, fast) of an event, ``None`` if it has none, such as the start of a series.

        With the parameter ``geometry`` a frame (module, slow, fast) becomes one with its modules below each other.

        Raises
        ------
        DecodeError
            The message is damaged.
        UsageError
            Several streams have frames, or the stream named in the parameters does not.
        """
        name = setting(parameters, "stream", "")
        if name:
            return self._flat(self._read_named(event, name), parameters)
        frames = {}
        for stream, data in event.streams.items():
            if data.typ in _DETECTORS and (frame := self._look(data)) is not None:
                frames[stream] = frame
        if len(frames) > 1:
            raise UsageError(f"{', '.join(sorted(frames))} all have frames: name one in the parameter 'stream'")
        return self._flat(next(iter(frames.values()), None), parameters)

    def _flat(self, frame: Frame | None, parameters: Values | None) -> Frame | None:
        """Return a frame as (slow, fast), and keep the shape of one with modules."""
        if frame is None:
            return None
        self.modules = None
        if frame.ndim == 2:
            return frame
        if not setting(parameters, "geometry", b""):
            raise UsageError(
                f"frames of shape {frame.shape} have modules: set the parameter 'geometry' to what a CrystFEL geometry "
                "file has"
            )
        self.modules = frame.shape[0], frame.shape[1], frame.shape[2]
        return frame.reshape(frame.shape[0] * frame.shape[1], frame.shape[2])

    def _read_named(self, event: EventData, name: str) -> Frame | None:
        data = event.streams.get(name)
        return None if data is None else self._look(data)

    def _look(self, data: Any) -> Frame | None:
        record = parse(data)
        header = header_of(record)
        if header is not None:
            self.header = header
            self.n_headers += 1
            return None
        pixels = getattr(record, "data", None)
        if not isinstance(pixels, np.ndarray):
            return None
        if pixels.ndim not in (2, 3):
            raise DecodeError(
                f"a frame of shape {pixels.shape}; (slow, fast) or (module, slow, fast) is needed",
                where=f"{data.typ} frame",
            )
        return pixels

    def poni(self, shape: tuple[int, int], parameters: Values | None) -> Poni:
        """Return where the pixels are: the parameter ``poni``, or else what the detector's header says.

        Raises
        ------
        UsageError
            Neither says enough, or the PONI file is for another shape.
        DecodeError
            The parameter is no PONI file.
        """
        content = setting(parameters, "poni", b"")
        if not content:
            return self.header.poni(shape)
        try:
            poni = parse_poni(content.decode())
        except UnicodeDecodeError:
            raise DecodeError("not text", where="parameter 'poni'") from None
        if poni.detector.shape is None:
            return poni.with_shape(shape)
        if poni.detector.shape != shape:
            raise UsageError(f"the PONI file is for frames of {poni.detector.shape}, these have {shape} pixels")
        return poni

    def geometry(self, shape: tuple[int, int], parameters: Values | None) -> Poni | DetectorGeometry:
        """Return where the pixels are: the parameter ``geometry``, or else what `poni` says.

        A camera length or wavelength that the geometry file leaves to the header is taken from the detector's.

        Raises
        ------
        UsageError
            Neither says enough, both are given, or the file is for another shape.
        DecodeError
            The parameter is no geometry file.
        """
        record = _geometry_file(parameters)
        if record is None:
            return self.poni(shape, parameters)
        if setting(parameters, "poni", b""):
            raise UsageError("the parameters 'poni' and 'geometry' both say where pixels are; leave one empty")
        return self._panels(record, shape)

    def _panels(self, record: CrystfelGeometry, shape: tuple[int, int]) -> DetectorGeometry:
        lengths = [panel.clen or record.clen for panel in record.panels]
        elsewhere = any(length is None or isinstance(length.value, str) for length in lengths)
        no_wavelength = record.beam is None or isinstance(record.beam.value, str)
        return detector_geometry(
            record,
            camera_length_m=self.header.distance_m if elsewhere else None,
            wavelength_angstrom=self.header.wavelength_angstrom if no_wavelength else None,
            frame_shape=self.modules or shape,
        )

    def mask(self, frame: Frame, parameters: Values | None) -> npt.NDArray[np.bool_]:
        """Return the mask for frames like this: the header's, the user's, and that of the parameter ``geometry``.

        Where the header has none, pixels of ``frame`` that have one of the two greatest values of an unsigned type, or
        -1 or -2, are excluded: detectors mark gaps and bad pixels so. Of the masks that the geometry file names, those
        in files of their own are read; a stream has no file of images that could have others.

        Raises
        ------
        UsageError
            A mask cannot be read, or has another shape.
        """
        if self.header.mask is not None:
            header = self.header.mask
            if self.modules is not None and header.shape == self.modules:
                header = header.reshape(frame.shape)
            mask = combine_masks(np.zeros(frame.shape, np.bool_), header)
        else:
            mask = mask_values(frame, (-1, -2))
        record, shape = _geometry_file(parameters), (frame.shape[0], frame.shape[1])
        if record is not None:
            detector = self._panels(record, shape)
            mask = combine_masks(mask, constant_mask(record, detector))
            named = file_mask(record, detector, _read_planes)
            mask = mask if named is None else combine_masks(mask, named)
        path = setting(parameters, "mask", "")
        return combine_masks(mask, read_mask(path, shape=shape)) if path else mask

    def untrusted(
        self, frame: Frame, parameters: Values | None, *, mask: npt.NDArray[np.bool_], saturated: bool
    ) -> UntrustedPixels | None:
        """Return what finds the pixels of single frames that the parameter ``geometry`` says are bad, if it is set.

        Parameters
        ----------
        frame : ndarray
            A frame like those to come.
        parameters : mapping
            Of the worker.
        mask : ndarray
            (slow, fast) what `mask` gives.
        saturated : bool
            Whether saturated pixels count as bad: those above ``max_adu`` and the saturation map.

        Raises
        ------
        UsageError
            The saturation map cannot be read, or has another shape.
        """
        record = _geometry_file(parameters)
        if record is None:
            return None
        detector = self._panels(record, (frame.shape[0], frame.shape[1]))
        limits = saturation_values(record, detector, _read_planes) if saturated else None
        return UntrustedPixels(record, detector, saturation=limits, mask=mask)


def _read_planes(file: str | None, dataset: str) -> npt.NDArray[Any] | None:
    return None if file is None else read_hdf5_array(file, dataset)


def _geometry_file(parameters: Values | None) -> CrystfelGeometry | None:
    content = setting(parameters, "geometry", b"")
    if not content:
        return None
    try:
        return parse_geometry(content.decode())
    except UnicodeDecodeError:
        raise DecodeError("not text", where="parameter 'geometry'") from None
