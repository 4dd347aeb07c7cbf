"""Panel parameters of a CrystFEL geometry file, line by line: defaults, and panels that start from them."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from glimt.codecs import crystfel_geometry_values as values
from glimt.codecs.crystfel_geometry_record import CrystfelPanel, MaskSource

MAX_AXES, MAX_FLAGS = 16, 16
MAX_SIDE = 1 << 20

_READERS: MappingProxyType[str, tuple[str, Callable[[str], Any]]] = MappingProxyType(
    {
        "min_fs": ("min_fs", values.whole),
        "max_fs": ("max_fs", values.whole),
        "min_ss": ("min_ss", values.whole),
        "max_ss": ("max_ss", values.whole),
        "corner_x": ("corner_x", values.number),
        "corner_y": ("corner_y", values.number),
        "fs": ("fs", values.direction),
        "ss": ("ss", values.direction),
        "res": ("resolution_per_m", values.positive),
        "data": ("data", values.path),
        "adu_per_photon": ("adu_per_photon", values.positive),
        "adu_per_eV": ("adu_per_ev", values.positive),
        "max_adu": ("max_adu", values.number),
        "coffset": ("coffset_m", values.number),
        "no_index": ("no_index", values.truth),
        "mask_edge_pixels": ("mask_edge_pixels", values.whole),
        "saturation_map": ("saturation_map", values.path),
        "saturation_map_file": ("saturation_map_file", str),
        "clen": ("clen", values.quantity),
    }
)
_SILENT = frozenset({"badrow_direction"})
_MASK = re.compile(r"mask([0-7]?)_(data|file|goodbits|badbits)", re.ASCII)
_MASK_ALIASES = {
    "mask": (0, "data"),
    "mask_file": (0, "file"),
    "mask_good": (0, "goodbits"),
    "mask_bad": (0, "badbits"),
}
_AXIS = re.compile(r"dim(\d{1,3})", re.ASCII)
_REQUIRED = ("min_fs", "max_fs", "min_ss", "max_ss", "corner_x", "corner_y", "fs", "ss", "resolution_per_m")
_NAMES_IN_FILE = {"resolution_per_m": "res"}


class PanelDraft:
    """What is known of a panel so far; also of panels that are yet to come."""

    def __init__(self, given: PanelDraft | None = None) -> None:
        self._fields: dict[str, Any] = dict(given._fields) if given else {}
        self._axes: dict[int, int | str] = dict(given._axes) if given else {}
        self._flags: list[tuple[str, int]] = list(given._flags) if given else []
        self._masks: dict[int, dict[str, Any]] = {n: dict(m) for n, m in given._masks.items()} if given else {}

    def set(self, key: str, text: str) -> bool:
        """Set a parameter; return whether there is one of this name.

        Raises
        ------
        ValueError
            The value is none for it; the text says what is needed.
        """
        if key in _READERS:
            field, read = _READERS[key]
            self._fields[field] = read(text)
            if key.startswith("adu_per_"):  # the last of the two counts
                self._fields.pop("adu_per_ev" if field == "adu_per_photon" else "adu_per_photon", None)
            return True
        if key in _SILENT:
            return True
        return self._set_axis(key, text) or self._set_flag(key, text) or self._set_mask(key, text)

    def _set_axis(self, key: str, text: str) -> bool:
        found = _AXIS.fullmatch(key)
        if found is None:
            return False
        if int(found[1]) >= MAX_AXES:
            raise ValueError(f"axes 0 to {MAX_AXES - 1} are possible")
        self._axes[int(found[1])] = values.axis(text)
        return True

    def _set_flag(self, key: str, text: str) -> bool:
        kind = key.removeprefix("flag_")
        if kind == key or kind not in ("lessthan", "morethan", "equal"):
            return False
        if len(self._flags) == MAX_FLAGS:
            raise ValueError(f"at most {MAX_FLAGS} flags are possible")
        self._flags.append((kind, values.flag_value(text)))
        return True

    def _set_mask(self, key: str, text: str) -> bool:
        found = _MASK.fullmatch(key)
        if found is None and key not in _MASK_ALIASES:
            return False
        number, what = (int(found[1] or 0), found[2]) if found else _MASK_ALIASES[key]
        mask = self._masks.setdefault(number, {})
        if what == "data":
            mask["data"] = values.path(text)
        elif what == "file":
            mask["file"] = text
        else:
            mask["good_bits" if what == "goodbits" else "bad_bits"] = values.bits(text)
        return True

    def finish(self, name: str) -> CrystfelPanel:
        """Return the panel.

        Raises
        ------
        ValueError
            A parameter is missing, or two do not fit each other.
        """
        missing = [_NAMES_IN_FILE.get(field, field) for field in _REQUIRED if field not in self._fields]
        if missing:
            raise ValueError(f"{', '.join(missing)} missing")
        masks = tuple(MaskSource(number, **self._masks[number]) for number in sorted(self._masks))
        panel = CrystfelPanel(name, **self._fields, dims=self._dims(), flags=tuple(self._flags), masks=masks)
        for axis, low, high in (("fs", panel.min_fs, panel.max_fs), ("ss", panel.min_ss, panel.max_ss)):
            if not 0 <= low <= high < MAX_SIDE:
                raise ValueError(f"{axis} goes from {low} to {high}; 0 to {MAX_SIDE - 1} are possible, in this order")
        if not 0 <= panel.mask_edge_pixels <= MAX_SIDE:
            raise ValueError(f"mask_edge_pixels is {panel.mask_edge_pixels}")
        self._check_placeholders(panel)
        return panel

    def _dims(self) -> tuple[int | str, ...]:
        if not self._axes:
            return ("ss", "fs")
        last = max(self._axes)
        dims = tuple(self._axes.get(n, "") for n in range(last + 1))
        if "" in dims:
            raise ValueError(f"dim{dims.index('')} missing")
        if dims.count("fs") != 1 or dims.count("ss") != 1 or dims.count("%") > 1:
            raise ValueError("the dims have ss and fs once each, and % once at most")
        if dims.index("fs") < dims.index("ss"):
            raise ValueError("the dim that is fs has to come after the one that is ss")
        return dims

    @staticmethod
    def _check_placeholders(panel: CrystfelPanel) -> None:
        most = panel.data.count("%")
        for mask in panel.masks:
            if mask.data is not None and mask.data.count("%") > most:
                raise ValueError(f"mask{mask.number}_data has more placeholders % than data")
