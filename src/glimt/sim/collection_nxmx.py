"""Writes HDF5 as EIGER detectors and their beamlines do: a master file, and data files that grow in SWMR mode."""

from __future__ import annotations

import threading
import time
from random import Random
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt

from glimt.codecs.cbf_header import CbfHeader
from glimt.codecs.pixels import encode_pixels
from glimt.sim.collection_plan import CollectionPlan, Due
from glimt.sim.faults import Action, garbage, truncated

_DATA = "/entry/data/data"


class NxmxWriter:
    """Writes the files of a collection; a data file is made when its first image comes.

    Parameters
    ----------
    plan : CollectionPlan
        What, and how.
    images : list of ndarray
        (slow, fast), int32 [counts], used in turn; negative ones are pixels that measure nothing.
    header : CbfHeader
        What the master says about the beamline.
    """

    def __init__(self, plan: CollectionPlan, images: list[npt.NDArray[Any]], header: CbfHeader) -> None:
        self._plan, self._header = plan, header
        unsigned = [image.astype(np.uint32) for image in images]  # -1 and -2 become the two largest, as EIGER has them
        self._mask = images[0] < 0
        self._shape = images[0].shape
        self._chunks = [encode_pixels(image, compression="bslz4") for image in unsigned]
        self._open: dict[int, tuple[Any, Any]] = {}
        self._n_left = [plan.n_images_in(file) for file in range(plan.n_data_files)]

    def path_of(self, number: int) -> str:
        """Return the data file of an image, from 0."""
        return str(self._plan.data_file(self._plan.place_of(number)[0]))

    def write(self, due: Due, random: Random, stop: threading.Event) -> tuple[int, int]:
        """Write an image; return when that began and when it could be read, UTC [ns]."""
        del stop
        file, place = self._plan.place_of(due.number)
        dataset = self._dataset(file)
        chunk = self._chunks[due.number % len(self._chunks)]
        if due.action is Action.TRUNCATE:
            chunk = truncated(chunk)
        elif due.action is Action.GARBAGE:
            chunk = garbage(random, chunk)
        began_ns = time.time_ns()
        dataset.id.write_direct_chunk((place, 0, 0), chunk)
        dataset.flush()
        written_ns = time.time_ns()
        self.passed(due.number)
        return began_ns, written_ns

    def passed(self, number: int) -> None:
        """Count an image as done, also one that was dropped; a file whose images are all done is closed."""
        file = self._plan.place_of(number)[0]
        self._n_left[file] -= 1
        if not self._n_left[file] and file in self._open:
            self._open.pop(file)[0].close()

    def _dataset(self, file: int) -> Any:
        if file not in self._open:
            path = self._plan.data_file(file)
            made = h5py.File(path, "w", libver="latest")
            length = self._plan.n_images_in(file)
            group = _group(_group(made, "entry", "NXentry"), "data", "NXdata")
            dataset = group.create_dataset(
                "data",
                (length, *self._shape),
                "uint32",
                chunks=(1, *self._shape),
                maxshape=(None, *self._shape),
                **hdf5plugin.Bitshuffle(),
            )
            if not self._plan.parallel_files:
                first = file * self._plan.images_per_file + 1
                dataset.attrs["image_nr_low"], dataset.attrs["image_nr_high"] = first, first + length - 1
            made.flush()
            made.swmr_mode = True
            self._open[file] = made, dataset
        return self._open[file][1]

    def write_master(self) -> None:
        """Write the master file under another name and give it its own."""
        path = self._plan.master
        part = path.with_name(f".{path.name}.part")
        with h5py.File(part, "w", libver="latest") as file:
            entry = _group(file, "entry", "NXentry")
            entry["definition"] = "NXmx"
            data = _group(entry, "data", "NXdata")
            data.attrs["signal"] = "data"
            if self._plan.form == "nxmx-vds":
                self._map(data)
            else:
                for k in range(self._plan.n_data_files):
                    data[f"data_{k + 1:06d}"] = h5py.ExternalLink(self._plan.data_file(k).name, _DATA)
            self._describe(entry)
        part.rename(path)

    def _map(self, data: Any) -> None:
        plan = self._plan
        layout = h5py.VirtualLayout((plan.n_images, *self._shape), "uint32")
        for k in range(plan.n_data_files):
            n = plan.n_images_in(k)
            if not n:
                continue
            source = h5py.VirtualSource(plan.data_file(k).name, _DATA, (n, *self._shape), maxshape=(None, *self._shape))
            if plan.parallel_files:
                layout[k :: plan.parallel_files] = source
            else:
                first = k * plan.images_per_file
                layout[first : first + n] = source
        data.create_virtual_dataset("data", layout, fillvalue=0)

    def _describe(self, entry: Any) -> None:
        header = self._header
        detector = _group(_group(entry, "instrument", "NXinstrument"), "detector", "NXdetector")
        detector["description"] = header.detector or "simulated detector"
        pixel, center = header.pixel_size_m or (75e-6, 75e-6), header.beam_center_px or (0.0, 0.0)
        for name, value, unit in (
            ("detector_distance", header.distance_m, "m"),
            ("x_pixel_size", pixel[1], "m"),
            ("y_pixel_size", pixel[0], "m"),
            ("beam_center_x", center[1], "pixel"),
            ("beam_center_y", center[0], "pixel"),
            ("count_time", header.exposure_s, "s"),
            ("frame_time", header.period_s, "s"),
        ):
            if value is not None:
                detector[name] = value
                detector[name].attrs["units"] = unit
        detector["pixel_mask"] = self._mask.astype(np.uint32)
        specific = _group(detector, "detectorSpecific", "NXcollection")
        specific["nimages"], specific["ntrigger"] = self._plan.n_images, 1
        beam = _group(entry["instrument"], "beam", "NXbeam")
        if header.wavelength_angstrom is not None:
            beam["incident_wavelength"] = header.wavelength_angstrom
            beam["incident_wavelength"].attrs["units"] = "angstrom"

    def close(self) -> None:
        """Close the data files, complete or not."""
        for file, _ in self._open.values():
            file.close()
        self._open.clear()


def _group(parent: Any, name: str, nexus_class: str) -> Any:
    made = parent.create_group(name)
    made.attrs["NX_class"] = nexus_class
    return made
