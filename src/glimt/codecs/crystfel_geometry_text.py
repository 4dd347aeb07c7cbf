"""CrystFEL geometry files: `CrystfelGeometry` to text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from glimt.codecs.crystfel_geometry_record import CrystfelGeometry, CrystfelPanel, GeometryValue, Vector
from glimt.codecs.crystfel_geometry_values import text_of


def write_geometry(geometry: CrystfelGeometry) -> str:
    """Return the content of a CrystFEL geometry file that says this, with every parameter beside its panel.

    `glimt.codecs.crystfel_geometry.parse_geometry` of it is the same record, less what was ignored.
    """
    lines = [f";{comment}" for comment in geometry.preamble]
    lines += _globals(geometry)
    for panel in geometry.panels:
        lines += ["", *(f"{panel.name}/{key} = {value}" for key, value in _panel(panel))]
    for region in geometry.bad_regions:
        axes = ("fs", "ss") if region.in_panel else ("x", "y")
        lines.append("")
        if region.panel is not None:
            lines.append(f"{region.name}/panel = {region.panel}")
        for axis, low, high in zip(axes, region.low, region.high, strict=True):
            lines += [f"{region.name}/min_{axis} = {text_of(low)}", f"{region.name}/max_{axis} = {text_of(high)}"]
    lists = (("group_", geometry.groups), ("rigid_group_", geometry.rigid_groups))
    for prefix, groups in (*lists, ("rigid_group_collection_", geometry.rigid_group_collections)):
        lines += [f"{prefix}{name} = {','.join(members)}" for name, members in groups]
    return "\n".join(lines) + "\n"


def _globals(geometry: CrystfelGeometry) -> Iterator[str]:
    if geometry.beam is not None:
        yield f"{geometry.beam.key} = {_quantity(geometry.beam)}"
    lengths = ("clen", geometry.clen), ("detector_shift_x", geometry.shift_x), ("detector_shift_y", geometry.shift_y)
    for key, length in lengths:
        if length is not None:
            yield f"{key} = {_quantity(length)}"
    yield f"bandwidth = {text_of(geometry.bandwidth)}"
    for key, text in (("peak_list", geometry.peak_list), ("peak_list_type", geometry.peak_list_type)):
        if text is not None:
            yield f"{key} = {text}"


def _quantity(value: GeometryValue) -> str:
    return f"{text_of(value.value)} {value.unit}".strip()


def _direction(vector: Vector) -> str:
    # CrystFEL reads no exponents here.
    terms = (
        np.format_float_positional(part, sign=True, trim="0") + axis for part, axis in zip(vector, "xyz", strict=True)
    )
    return " ".join(terms)


def _panel(panel: CrystfelPanel) -> Iterator[tuple[str, str]]:
    for key in ("min_fs", "max_fs", "min_ss", "max_ss", "corner_x", "corner_y"):
        yield key, text_of(getattr(panel, key))
    yield "fs", _direction(panel.fs)
    yield "ss", _direction(panel.ss)
    yield "res", text_of(panel.resolution_per_m)
    yield "data", panel.data
    for number, axis in enumerate(panel.dims):
        yield f"dim{number}", str(axis)
    optional = (
        ("adu_per_photon", panel.adu_per_photon),
        ("adu_per_eV", panel.adu_per_ev),
        ("max_adu", panel.max_adu),
        ("saturation_map", panel.saturation_map),
        ("saturation_map_file", panel.saturation_map_file),
    )
    for key, value in optional:
        if value is not None:
            yield key, text_of(value)
    if panel.clen is not None:
        yield "clen", _quantity(panel.clen)
    yield "coffset", text_of(panel.coffset_m)
    yield "no_index", "true" if panel.no_index else "false"
    if panel.mask_edge_pixels:
        yield "mask_edge_pixels", str(panel.mask_edge_pixels)
    for kind, number in panel.flags:
        yield f"flag_{kind}", str(number)
    yield from _masks(panel)


def _masks(panel: CrystfelPanel) -> Iterator[tuple[str, str]]:
    for mask in panel.masks:
        for what, text in (("data", mask.data), ("file", mask.file)):
            if text is not None:
                yield f"mask{mask.number}_{what}", text
        yield f"mask{mask.number}_goodbits", hex(mask.good_bits)
        yield f"mask{mask.number}_badbits", hex(mask.bad_bits)
