"""Groups of panels and bad regions of a CrystFEL geometry file, checked when all panels are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glimt.codecs import crystfel_geometry_values as values
from glimt.codecs.crystfel_geometry_record import BadRegion, CrystfelPanel
from glimt.model.errors import DecodeError

MAX_GROUPS, MAX_CHILDREN = 512, 64

Names = tuple[str, tuple[str, ...]]
_OF_PANEL = ("min_fs", "max_fs", "min_ss", "max_ss")
_OF_LABORATORY = ("min_x", "max_x", "min_y", "max_y")


def checked_groups(groups: Sequence[tuple[int, Names]], panels: frozenset[str], *, where: str) -> tuple[Names, ...]:
    """Return the groups, each after those it consists of, so that ``all`` is last.

    Raises
    ------
    DecodeError
        Too many, a member that does not exist or belongs to two groups, groups in a circle, or no ``all``.
    """
    if not groups:
        return ()
    if len(groups) > MAX_GROUPS:
        raise DecodeError(f"{len(groups)} groups; at most {MAX_GROUPS} are possible", where=where)
    lines = {name: line for line, (name, _) in groups}
    if len(lines) < len(groups) or lines.keys() & panels:
        raise DecodeError("a group has the name of another group or of a panel", where=where)
    if "all" not in lines:
        raise DecodeError("there are groups, but none that is called all", where=where)
    owners: dict[str, str] = {}
    for line, (name, members) in groups:
        here = f"{where}, line {line}, group_{name[:60]}"
        if len(members) > MAX_CHILDREN and not all(member in panels for member in members):
            raise DecodeError(f"{len(members)} members; at most {MAX_CHILDREN} are possible", where=here)
        for member in members:
            if member not in panels and member not in lines:
                raise DecodeError(f"{member[:60]!r} is neither a panel nor a group", where=here)
            if member in owners:
                raise DecodeError(f"{member[:60]!r} is in {owners[member][:60]!r} already", where=here)
            owners[member] = name
    return _bottom_up(dict(names for _, names in groups), panels, where)


def _bottom_up(groups: dict[str, tuple[str, ...]], panels: frozenset[str], where: str) -> tuple[Names, ...]:
    ordered: list[Names] = []
    known = set(panels)
    while groups:
        ready = [name for name, members in groups.items() if known.issuperset(members)]
        if not ready:
            raise DecodeError(f"group {next(iter(groups))[:60]!r} contains itself", where=where)
        for name in sorted(ready, key=lambda name: name == "all"):
            ordered.append((name, groups.pop(name)))
            known.add(name)
    if ordered[-1][0] != "all":
        raise DecodeError("the group all has to be the top one: it belongs to no other", where=where)
    return tuple(ordered)


def checked_bad_regions(
    regions: Mapping[str, Mapping[str, tuple[int, str]]], panels: Mapping[str, CrystfelPanel], *, where: str
) -> tuple[BadRegion, ...]:
    """Return the bad regions.

    Raises
    ------
    DecodeError
        A limit is missing, is no number or outside the panel, or limits of both kinds are mixed.
    """
    return tuple(_bad_region(name, given, panels, where) for name, given in regions.items())


def _bad_region(
    name: str, given: Mapping[str, tuple[int, str]], panels: Mapping[str, CrystfelPanel], where: str
) -> BadRegion:
    here = f"{where}, line {max(line for line, _ in given.values())}, {name[:60]}"
    unknown = [key for key in given if key not in (*_OF_PANEL, *_OF_LABORATORY, "panel")]
    if unknown:
        raise DecodeError(f"{unknown[0][:60]!r} is no limit of a bad region", where=here)
    in_panel = not any(key in given for key in _OF_LABORATORY)
    wanted = _OF_PANEL if in_panel else _OF_LABORATORY
    if not in_panel and any(key in given for key in (*_OF_PANEL, "panel")):
        raise DecodeError("a bad region has limits in x and y, or in fs and ss; not both", where=here)
    missing = [key for key in wanted if key not in given]
    if missing:
        raise DecodeError(f"{', '.join(missing)} missing", where=here)
    limits = []
    for key in wanted:
        line, text = given[key]
        try:
            limits.append(float(values.whole(text)) if in_panel else values.number(text))
        except ValueError as error:
            raise DecodeError(f"{text[:60]!r}: {error}", where=f"{where}, line {line}, {name[:60]}/{key}") from None
    low, high = (limits[0], limits[2]), (limits[1], limits[3])
    panel = given["panel"][1] if "panel" in given else None
    if in_panel:
        _check_inside(panel, low, high, panels, here)
    elif low[0] > high[0] or low[1] > high[1]:
        raise DecodeError("its limits are the wrong way around", where=here)
    return BadRegion(name, in_panel, low, high, panel)


def _check_inside(
    name: str | None,
    low: tuple[float, float],
    high: tuple[float, float],
    panels: Mapping[str, CrystfelPanel],
    here: str,
) -> None:
    if name is None and len(panels) > 1:
        raise DecodeError("it does not say its panel", where=here)
    panel = next(iter(panels.values())) if name is None else panels.get(name)
    if panel is None:
        raise DecodeError(f"there is no panel {str(name)[:60]!r}", where=here)
    fs = panel.min_fs <= low[0] <= high[0] <= panel.max_fs
    if not (fs and panel.min_ss <= low[1] <= high[1] <= panel.max_ss):
        raise DecodeError(f"it is not inside of panel {panel.name[:60]!r}", where=here)
