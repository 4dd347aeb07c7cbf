"""Finds the classes a user names as ``module.path:Class``."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from glimt.model.errors import UsageError, UserCodeError
from glimt.pipeline.failure import describe_exception, user_trace


def import_class(path: str) -> Any:
    """Return the class that ``path`` names, such as ``"src.worker:TestWorker"``.

    Modules are looked for in the current folder too, as the last place.

    Raises
    ------
    UsageError
        No such module or class; the text says what there is instead.
    UserCodeError
        The module raises when it is imported.
    """
    module_name, colon, class_name = path.partition(":")
    if not colon or not module_name or not class_name:
        raise UsageError(f"{path!r} does not name a class: write it as package.module:Class, such as src.worker:Worker")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(missing + "."):
            raise UsageError(
                f"cannot find module {missing!r} for {path!r}: there is no {missing.replace('.', '/')}.py below {here}"
            ) from None
        raise UserCodeError(
            f"{module_name} imports {missing!r}, which is not installed in this environment", trace=user_trace(error)
        ) from error
    except (Exception, SystemExit) as error:  # importing runs the user's code
        raise UserCodeError(
            f"importing {module_name} raised {describe_exception(error)}", trace=_import_trace(error)
        ) from error
    found = module
    for name in class_name.split("."):
        if not hasattr(found, name):
            classes = sorted(
                key for key, value in vars(found).items() if isinstance(value, type) and value.__module__ == module_name
            )
            there = f"it has {', '.join(classes)}" if classes else "it has no classes"
            raise UsageError(f"module {module_name!r} has no class {class_name!r}; {there}")
        found = getattr(found, name)
    if not callable(found):
        raise UsageError(f"{path!r} is not a class but {type(found).__name__}")
    return found


def _import_trace(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f'  File "{error.filename}", line {error.lineno}\n    {(error.text or "").strip()}'
    return user_trace(error)
