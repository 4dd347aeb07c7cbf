"""How a published value is drawn if nobody chooses otherwise."""

from __future__ import annotations

PLOT_KINDS = ("number", "curve", "image", "table", "text")


def plot_kind(dtype: str, shape: tuple[int, ...] | None, asked: object = None) -> str:
    """Return one of `PLOT_KINDS`, or ``"none"``.

    Parameters
    ----------
    dtype : str
        NumPy name, ``"text"`` or ``"struct"``.
    shape : tuple of int or None
        ``None``: there is no value.
    asked : object
        The attribute ``plot``; taken where the shape allows it.
    """
    possible = _possible(dtype, shape)
    return asked if isinstance(asked, str) and asked in possible else possible[0]


def _possible(dtype: str, shape: tuple[int, ...] | None) -> tuple[str, ...]:
    if shape is None:
        return ("none",)
    if dtype == "text":
        return ("text", "table") if not shape else ("table", "text") if len(shape) == 1 else ("none",)
    if dtype == "struct":
        return ("table",) if len(shape) <= 1 else ("none",)
    if not shape:
        return ("number", "none")
    if len(shape) == 1:
        return ("curve", "table", "none")
    if len(shape) == 2:
        return ("image", "curve", "table", "none")
    return ("image", "none")
