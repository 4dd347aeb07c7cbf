"""The documentation says what glimt does: its commands run, its links lead somewhere, its lists are whole."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main

import glimt
import glimt.codecs
from glimt.cli.main import app
from glimt.codecs.protocol import WireProtocol

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)])

HOME = "/home/ada/drp-example"
_MARK = "-- end of the output of command"
_FENCE = re.compile(
    r"^(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<kind>\S*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_SPEED = re.compile(r"[\d.]+ s, [\d,]+ events/s")
_LIMIT_S = 120


class Code(NamedTuple):
    """One fenced block: a file if it has a path, a session if it is of the kind ``console``."""

    kind: str
    path: str
    text: str


def code_of(page: Path) -> Iterator[Code]:
    """Yield the blocks of a page; a Python block whose first line is a comment with a path is that file."""
    for found in _FENCE.finditer(page.read_text()):
        text = found["text"]
        named = re.match(r"# (\S+\.py)\n", text)
        path = found["file"] or (named[1] if named and found["kind"] == "python" else "")
        yield Code(found["kind"], path, text)


def commands_of(session: str) -> list[tuple[str, str]]:
    """Return the commands of a session, each with the output that follows it."""
    commands: list[tuple[str, str]] = []
    for line in session.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], ""))
        else:
            command, output = commands[-1]
            commands[-1] = (command, output + line + "\n")
    return commands


def run_session(commands: list[str], folder: Path) -> list[str]:
    """Return what each command prints on either stream, run one after the other in one shell."""
    lines = ["rc=0"]
    for command in commands:
        lines += [f"(exit $rc); {command}", "rc=$?", f'echo "{_MARK}"']
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
        "PYTHONUNBUFFERED": "1",  # both streams in the order in which a terminal shows them
    }
    environment.pop("LOG_LEVEL", None)
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    return done.stdout.replace(str(folder), HOME).split(_MARK + "\n")[: len(commands)]


def normalized(text: str) -> str:
    """Return ``text`` without what differs from run to run."""
    return "\n".join(line.rstrip() for line in _SPEED.sub("T", text).strip().splitlines())


def matches(expected: str, output: str) -> bool:
    """Whether ``output`` is what the page shows, where ``...`` stands for anything."""
    output = re.sub(r"^replay: [^\n]* left\n", "", output, flags=re.MULTILINE)  # of a busy machine
    pattern = re.escape(normalized(expected)).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, normalized(output), re.DOTALL) is not None


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the capture that the tutorial makes, and all other pages use."""
    folder = tmp_path_factory.mktemp("ring")
    (folder / "data").mkdir()
    script = next(code for code in code_of(DOCS / "tutorials" / "first-analysis.md") if code.path == "make_capture.py")
    subprocess.run([sys.executable, "-c", script.text], cwd=folder, check=True, timeout=_LIMIT_S)
    return (folder / "data" / "ring.cbors").read_bytes()


RUNNABLE = [page for page in PAGES if any(code.kind == "console" for code in code_of(page))]


@pytest.mark.parametrize("page", RUNNABLE, ids=relative)
def test_commands_print_what_the_page_shows(page: Path, ring: bytes, tmp_path: Path) -> None:
    for folder in ("src", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data" / "ring.cbors").write_bytes(ring)
    for code in code_of(page):
        if code.path:
            (tmp_path / code.path).write_text(code.text)
        elif code.kind == "console":
            session = commands_of(code.text)
            outputs = run_session([command for command, _ in session], tmp_path)
            for (command, expected), output in zip(session, outputs, strict=True):
                assert matches(expected, output), f"$ {command}\n{output}\nbut {relative(page)} shows\n{expected}"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_python_in_the_page_is_python(page: Path) -> None:
    for code in code_of(page):
        if code.kind == "python":
            ast.parse(code.text)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def protocol_modules() -> list[str]:
    """Return the names of the codec modules that define a wire protocol."""
    names = [module.name for module in pkgutil.iter_modules(glimt.codecs.__path__)]
    modules = {name: importlib.import_module(f"glimt.codecs.{name}") for name in names}
    return [name for name, module in modules.items() if isinstance(getattr(module, "PROTOCOL", None), WireProtocol)]


@pytest.mark.parametrize("name", protocol_modules())
def test_every_wire_protocol_has_a_page_and_is_in_the_list(name: str) -> None:
    page = DOCS / "reference" / f"{name}.md"
    assert page.is_file()
    protocol: WireProtocol = importlib.import_module(f"glimt.codecs.{name}").PROTOCOL
    assert f"`{protocol.typ}`" in page.read_text()
    listed = (DOCS / "reference" / "protocols.md").read_text()
    assert f"({name}.md) | `{protocol.name}` | `{protocol.typ}` |" in listed


def documented_modules() -> set[str]:
    """Return the modules whose docstrings the reference shows."""
    pages = (DOCS / "reference").rglob("*.md")
    return {name for page in pages for name in re.findall(r"^\.\. automodule:: (\S+)", page.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("package", [module.name for module in pkgutil.iter_modules(glimt.__path__) if module.ispkg])
def test_every_exported_name_is_in_the_reference(package: str) -> None:
    room = importlib.import_module(f"glimt.{package}")
    found = documented_modules()
    homes = {name: getattr(getattr(room, name), "__module__", room.__name__) for name in getattr(room, "__all__", ())}
    missing = sorted(name for name, home in homes.items() if not found & {home, room.__name__})
    assert package == "cli" or not missing


def test_every_name_of_the_package_is_in_the_reference() -> None:
    found = documented_modules() | {"builtins"}
    names = {name: getattr(glimt, name) for name in getattr(glimt, "__all__", ())}
    homes = {name: getattr(value, "__module__", "builtins") for name, value in names.items()}
    assert not [name for name, home in homes.items() if home not in found]


def test_every_module_in_the_reference_exists() -> None:
    for name in documented_modules():
        importlib.import_module(name)


def leaf_commands() -> dict[str, Any]:
    """Return the commands that do something by their whole name, such as ``"simulate stins"``."""
    found = {}
    waiting = [("", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        members = getattr(command, "commands", {})
        waiting += [(f"{name} {member}".strip(), members[member]) for member in members]
        if not members or command.invoke_without_command:  # a group that is a command as well
            found[name] = command
    return found


@pytest.mark.parametrize("name", sorted(leaf_commands()))
def test_every_option_is_in_the_command_reference(name: str) -> None:
    text = (DOCS / "reference" / "cli.md").read_text()
    section = re.search(rf"^## glimt {name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    parameters = leaf_commands()[name].params
    options = [option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)]
    shown = set(re.findall(r"(?<![\w-])--?[\w-]+", section[1]))
    assert [option for option in options if option.startswith("-") and option not in shown] == []


def test_the_command_reference_names_no_command_that_does_not_exist() -> None:
    text = (DOCS / "reference" / "cli.md").read_text()
    assert sorted(re.findall(r"^## glimt (.+)$", text, re.MULTILINE)) == sorted(leaf_commands())


def test_the_glossary_is_in_alphabetical_order() -> None:
    words = re.findall(r"^- \*\*(.+?)\*\*", (ROOT / "GLOSSARY.md").read_text(), re.MULTILINE)
    assert len(words) > 30
    assert words == sorted(words, key=str.casefold)
    assert len({word.casefold() for word in words}) == len(words)


def test_decisions_have_context_options_and_consequences() -> None:
    for page in sorted((DOCS / "decisions").glob("0*.md")):
        headings = re.findall(r"^## (\w+)", page.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Options", "Consequences"], page.name
