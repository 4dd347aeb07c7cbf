"""Pictures of images for web pages: the queue ``images``."""

from __future__ import annotations

import importlib.metadata
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from glimt.model.errors import DecodeError, GlimtError, RejectedMessageError, RetryMessageError, UsageError
from glimt.services.confined_path import confined_path
from glimt.services.diffraction_picture import diffraction_picture
from glimt.services.image_files import FileImage, ImageFiles, unreadable
from glimt.services.picture_files import (
    default_output,
    from_levels,
    output_path,
    pillow,
    read_picture,
    thumbnail_beside,
    write_picture,
)
from glimt.services.recipe_step import RecipeStep
from glimt.services.service import Service, ServiceSetup
from glimt.services.service_configuration import read_configuration

_log = logging.getLogger(__name__)

PLUGINS = "zocalo.services.images.plugins"
_LARGEST_SIDE = 10_000


class ImagesConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[services.images]``.

    Attributes
    ----------
    visit : str
        Regular expression of a visit's folder, with the slashes around it.
    output : str
        Where pictures go that the message has no place for, see `glimt.services.picture_files.default_output`.
    binning : int
        Pixels along a square that is one pixel of the picture.
    brightness : float
        As ``dials.export_bitmaps`` has it; more is darker.
    retry_s : float
        First wait for an image that cannot be read yet.
    plugins : bool
        Whether installed plug-ins for Zocalo's service are used; one with the name of a command of ours replaces it.
    """

    visit: str = r"/[a-z]{2}[0-9]{4,}-[0-9]+/"
    output: str = "{visit}/jpegs/{rest}/{name}.jpeg"
    binning: int = 4
    brightness: float = 60.0
    retry_s: float = 0.5
    plugins: bool = False

    def __post_init__(self) -> None:
        if not (1 <= self.binning <= 64 and 1 <= self.brightness <= 10_000 and 0 < self.retry_s <= 600):
            raise ValueError("binning is 1 to 64, brightness 1 to 10000, retry_s above 0 and up to 600")
        if not self.output.startswith(("{visit}", "/")) or "{name}" not in self.output:
            raise ValueError("output begins with {visit} or / and has {name}")
        try:
            re.compile(self.visit)
        except re.error as error:
            raise ValueError(f"visit is no regular expression ({error})") from None


class PluginParameter(NamedTuple):
    """What a plug-in is called with, as Zocalo's service has it.

    Attributes
    ----------
    rw : RecipeStep
        Of Zocalo's wrapper it has ``environment``, ``payload`` and ``send``.
    parameters : callable
        Returns the value of a name, of the message before that of the recipe, else the default.
    message : Any
    """

    rw: RecipeStep
    parameters: Callable[..., Any]
    message: Any


class ImagesService(Service):
    """Makes pictures of diffraction images, and thumbnails; ``image_command`` says what. Sends nothing."""

    name = "images"
    title = "DLS Images"
    queues = ("images",)

    def __init__(self, setup: ServiceSetup) -> None:
        super().__init__(setup)
        self._configuration = read_configuration(setup, self.name, ImagesConfiguration)
        self._visit = re.compile(self._configuration.visit)
        self._files = ImageFiles(4, roots=setup.roots)
        pillow()
        self._commands: dict[str, Callable[[PluginParameter], Any]] = {
            "diffraction": self._diffraction,
            "thumbnail": self._thumbnail,
        }
        if self._configuration.plugins:
            self._commands.update(
                {point.name: point.load() for point in importlib.metadata.entry_points(group=PLUGINS)}
            )

    def handle(self, step: RecipeStep) -> None:
        """Carry out the command of a message."""
        command = step.parameters.get("image_command")
        found = self._commands.get(command) if isinstance(command, str) else None
        if found is None:
            known = ", ".join(sorted(self._commands))
            raise RejectedMessageError(f"image_command is {str(command)[:60]!r}; there are {known}")

        def parameters(key: str, default: Any = None) -> Any:
            message = step.payload
            if isinstance(message, Mapping) and message.get(key):
                return message[key]
            return step.parameters.get(key, default)

        try:
            result = found(PluginParameter(step, parameters, step.payload))
        except (PermissionError, FileNotFoundError) as error:
            raise RetryMessageError(f"command {command}: {error}") from None
        if not result:
            if result is not False:
                _log.error("the plug-in for command %s returned %r, neither a result nor False", command, result)
            raise RetryMessageError(f"the plug-in for command {command} failed, it returned {result!r}")

    def _diffraction(self, given: PluginParameter) -> list[str]:
        """Draw a diffraction image, and a thumbnail beside it."""
        file, number = _image_of(given)
        path = confined_path(file, self.setup.roots)
        configuration = self._configuration
        output = _value(given.parameters("output"))
        if output is None:
            output = default_output(file, visit=self._visit, template=configuration.output)
        target = output_path(output, self.setup.roots, source=path)
        size = _size(given)
        try:
            image = self._files.read(path, number)
        except GlimtError as error:
            raise unreadable(error, given.rw.n_deliveries, retry_s=configuration.retry_s) from None
        picture = from_levels(self._draw(image))
        write_picture(picture, target)
        picture.thumbnail(size)
        write_picture(picture, thumbnail_beside(target))
        return [str(target), str(thumbnail_beside(target))]

    def _draw(self, image: FileImage) -> Any:
        try:
            return diffraction_picture(
                image, binning=self._configuration.binning, brightness=self._configuration.brightness
            )
        except UsageError as error:
            raise RejectedMessageError(str(error)) from None

    def _thumbnail(self, given: PluginParameter) -> list[str]:
        """Make a picture smaller."""
        path = confined_path(_value(given.parameters("file")), self.setup.roots)
        output = _value(given.parameters("output")) or str(path.with_name(f"{path.stem}t{path.suffix}"))
        target = output_path(output, self.setup.roots, source=path)
        if not path.is_file():
            raise unreadable(
                DecodeError("there is no such file", where=str(path)),
                given.rw.n_deliveries,
                retry_s=self._configuration.retry_s,
            )
        picture = read_picture(path)
        picture.thumbnail(_size(given))
        write_picture(picture, target)
        return [str(target)]

    def close(self) -> None:
        """Close all files."""
        self._files.close()


def _value(value: Any) -> Any:
    return None if value is None or value in ("", "None") else value


def _image_of(given: PluginParameter) -> tuple[str, int]:
    """Return the file, and the image in it, 0-based: what ``file`` and ``hdf5-index`` say, or ``input``."""
    file = _value(given.parameters("file"))
    if file is None:
        text = _value(given.parameters("input"))
        if not isinstance(text, str):
            raise RejectedMessageError("the message names no image: it needs file, or input ('file:first:last')")
        file, _, rest = text.partition(":")
        first = rest.partition(":")[0]
        return file, _number(first, "input") - 1 if first else 0
    if not isinstance(file, str):
        raise RejectedMessageError(f"file is {str(file)[:60]!r}; a path is needed")
    index = given.parameters("hdf5-index")
    return file, 0 if _value(index) is None else _number(index, "hdf5-index", least=0)


def _number(value: Any, name: str, *, least: int = 1, most: int = 1_000_000_000) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise RejectedMessageError(f"{name} is {text[:60]!r}; a whole number from {least} is needed")
    return int(text)


def _size(given: PluginParameter) -> tuple[int, int]:
    """Return the largest width and height of a thumbnail [px]."""
    wide, high = (given.parameters(key, default) for key, default in (("size-x", 400), ("size-y", 192)))
    return _number(wide, "size-x", most=_LARGEST_SIDE), _number(high, "size-y", most=_LARGEST_SIDE)
