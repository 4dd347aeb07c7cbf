"""Sphinx settings of glimt's documentation; build it with ``./x docs``."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from glimt.codecs.record import Record

project = "glimt"
author = "the glimt contributors"
copyright = "the glimt contributors, BSD-3-Clause"  # noqa: A001  Sphinx's name
release = version = "0.1.0"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "glimt"
html_show_sphinx = False
html_copy_source = False
highlight_language = "text"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "py:obj"
suppress_warnings = ["ref.python"]  # docstrings name classes by their short names, of which two rooms may have one
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]  # several names in one entry are allowed
napoleon_use_rtype = False
napoleon_preprocess_types = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "exclude-members": "from_frames, to_frames"}
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100


def hide_private_arguments(
    app: Any, what: str, name: str, found: Any, options: Any, signature: str | None, annotation: str | None
) -> tuple[str | None, str | None]:
    """Leave out of the constructors of records what is not part of the message."""
    if what == "class" and signature and isinstance(found, type) and issubclass(found, msgspec.Struct):
        try:
            made = inspect.signature(found)
        except (TypeError, ValueError):
            return signature, annotation
        shown = [
            p.replace(annotation=inspect.Parameter.empty) for p in made.parameters.values() if not p.name.startswith("_")
        ]
        if issubclass(found, Record):
            shown = [p.replace(default=inspect.Parameter.empty) if p.name != "htype" else p for p in shown]
        return str(made.replace(parameters=shown)), annotation
    return signature, annotation


def setup(app: Any) -> None:
    """Connect the above."""
    app.connect("autodoc-process-signature", hide_private_arguments)
