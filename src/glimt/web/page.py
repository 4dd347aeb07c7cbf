"""A page for a browser: the tree with its values and links; nothing is loaded from elsewhere."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import numpy.typing as npt

from glimt.model.publish_tree import Problem
from glimt.pipeline.tree_reader import Sight, TreeReader
from glimt.web.hdf_types import value_json
from glimt.web.json_view import json_link

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""Content security policy of the page: it has no script, and text out of the tree never becomes one."""

_SHOWN_TEXT = 200
_SHOWN_ELEMENTS = 8

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>glimt live view</title>
<meta http-equiv="refresh" content="5"><meta name="viewport" content="width=device-width">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } td { padding: .15rem .8rem .15rem 0; vertical-align: top }
td.value { font-family: ui-monospace, monospace; overflow-wrap: anywhere } .type { color: #666 } .bad { color: #a00 }
</style></head><body><h1>Live view</h1>
<p>Open this address with <code>h5pyd.File("/", "r", endpoint="&hellip;")</code>, or read it as
<a href="/json">JSON</a>. The page renews itself every 5 seconds.</p>
"""


def page(reader: TreeReader) -> str:
    """Return the page as it is now."""
    sights, problems = reader.survey(small=_SHOWN_ELEMENTS)
    rows = "".join(_row(sight) for sight in sights if sight.path)
    return f"{_HEAD}<table>{rows}</table>{_problems(problems)}</body></html>\n"


def _row(sight: Sight) -> str:
    indent = 1.5 * (len(sight.path) - 1)
    link = f'<a href="{escape(json_link(sight.path))}">{html_text(sight.path[-1])}</a>'
    name = f'<td style="padding-left:{indent}rem">{link}'
    if sight.extent is None:
        return f'<tr>{name}/</td><td class="type">group</td><td></td></tr>'
    shape = sight.extent.shape
    kind = "text" if sight.extent.dtype.hasobject else str(sight.extent.dtype)
    size = "" if not shape else " " + " x ".join(map(str, shape))
    value = html_text(_value(sight.array)) if shape is not None and sight.array is not None else ""
    return f'<tr>{name}</td><td class="type">{html_text(kind)}{size}</td><td class="value">{value}</td></tr>'


def _value(array: npt.NDArray[Any]) -> str:
    return json.dumps(value_json(array), ensure_ascii=False) if array.size <= _SHOWN_ELEMENTS else ""


def html_text(text: str) -> str:
    """Return text that a page can hold, cut where it is long."""
    return escape(text if len(text) <= _SHOWN_TEXT else text[:_SHOWN_TEXT] + "…")


def _problems(problems: list[Problem]) -> str:
    if not problems:
        return ""
    items = "".join(f"<li>{html_text(problem.path)}: {html_text(problem.reason)}</li>" for problem in problems)
    return f'<h2 class="bad">Not shown</h2><ul>{items}</ul>'
