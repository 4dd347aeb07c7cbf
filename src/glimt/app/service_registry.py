"""Names of services to their classes: glimt's own, those of other packages, and any class by its path."""

from __future__ import annotations

import difflib
import importlib
import sys
from importlib.metadata import entry_points
from typing import Any

from glimt.app.problems import either
from glimt.model.errors import UsageError

SERVICES = {
    "dispatcher": "glimt.services.dispatcher:DispatcherService",
    "file_watcher": "glimt.services.file_watcher:FileWatcherService",
    "per_image_analysis": "glimt.services.per_image_analysis:PerImageAnalysisService",
    "image_selection": "glimt.services.image_selection:ImageSelectionService",
    "images": "glimt.services.images:ImagesService",
    "ispyb": "glimt.services.ispyb:IspybService",
    "x_ray_centering": "glimt.services.x_ray_centering:XRayCenteringService",
    "notify_gda": "glimt.services.notify_gda:NotifyGdaService",
}
"""The services that come with glimt, in the order in which a recipe meets them."""

CONFIGURATIONS = {
    "dispatcher": "glimt.services.dispatcher:DispatcherConfiguration",
    "file_watcher": "glimt.services.file_watcher:FileWatcherConfiguration",
    "per_image_analysis": "glimt.services.per_image_analysis:PerImageAnalysisConfiguration",
    "image_selection": "glimt.services.image_selection:ImageSelectionConfiguration",
    "images": "glimt.services.images:ImagesConfiguration",
    "ispyb": "glimt.services.ispyb:IspybConfiguration",
    "x_ray_centering": "glimt.services.x_ray_centering:XRayCenteringConfiguration",
    "notify_gda": "glimt.services.notify_gda:NotifyGdaConfiguration",
}
"""The records of these services' tables in the site file."""

ENTRY_POINTS = "glimt.services"
ZOCALO_ENTRY_POINTS = "workflows.services"


def known_services() -> dict[str, str]:
    """Return the names of all services that can be started, and the paths of their classes.

    Those of other packages (entry points ``glimt.services`` and Zocalo's ``workflows.services``) come after its own,
    which they cannot replace.
    """
    found = dict(SERVICES)
    for group in (ENTRY_POINTS, ZOCALO_ENTRY_POINTS):
        for point in sorted(entry_points(group=group), key=lambda point: point.name):
            found.setdefault(point.name, point.value)
    return found


def service_path(name: str) -> str:
    """Return the path of the class that is called ``name``, which may be ``module:Class`` itself.

    Raises
    ------
    UsageError
        There is no service of that name.
    """
    if ":" in name:
        return name
    known = known_services()
    if name in known:
        return known[name]
    alike = name.replace("-", "_").lower()
    if alike in known:
        return known[alike]
    near = difflib.get_close_matches(alike, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(
        f"there is no service {name!r}; {hint}it can be {either(sorted(SERVICES))}, or package.module:Class"
    )


def load_service(path: str) -> type[Any]:
    """Return the class that ``module:Class`` names.

    Raises
    ------
    UsageError
        It is not there, or cannot be imported.
    """
    module_name, _, class_name = path.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: a user's services lie in the current folder
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"service {path} needs the module {error.name}, which is not there{_extra(error.name)}"
        ) from None
    except ImportError as error:
        raise UsageError(f"service {path} cannot be imported: {error}") from error
    for part in class_name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        raise UsageError(f"{module_name} has no class {class_name}")
    return found


def _extra(module: str | None) -> str:
    packages = {"pika", "PIL", "pymysql", "sqlalchemy", "watchfiles"}
    if (module or "").partition(".")[0] in packages:
        return "; install glimt[services]"
    return "; install glimt[ispyb]" if (module or "").partition(".")[0] == "ispyb" else ""
