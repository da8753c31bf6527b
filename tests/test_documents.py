# SPDX-License-Identifier: Apache-2.0
"""The documents say what the code does: references resolve, and no command or setting is left out."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from p2p_handoff.cli.main import cli
from p2p_handoff.errors import HandoffError
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.settings.config import CONFIG_NAME, Settings, load
from p2p_handoff.settings.keys import is_live

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(path for package in ("p2p_handoff", "signaling") for path in (ROOT / package).rglob("*.py"))
MARKDOWN = sorted(path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
REFERENCE = re.compile(r"(docs/[\w./-]+\.(?:md|cddl))((?:\s*,?\s*§\d+(?:-§?\d+)?|,\s\d+(?=[.\s]))*)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def sections(text: str) -> set[int]:
    """The section numbers that a reference names: ``§2-4`` is 2, 3 and 4."""
    found: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-§?(\d+))?", text):
        found.update(range(int(first), int(last or first) + 1))
    return found


def headings(path: Path) -> set[int]:
    return {int(number) for number in re.findall(r"^## (\d+)\. ", path.read_text(), re.MULTILINE)}


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(group: click.Group, prefix: str = "handoff") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def code_blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


def test_a_reference_with_sections_is_understood() -> None:
    [(path, numbers)] = REFERENCE.findall("Specification: docs/specs/adapters.md §7-8, 10. Three rounds")
    assert (path, sections(numbers)) == ("docs/specs/adapters.md", {7, 8, 10})


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_what_a_module_refers_to_exists(module: Path) -> None:
    for name, numbers in REFERENCE.findall(module.read_text()):
        document = ROOT / name
        assert document.is_file(), f"{relative(module)} refers to {name}, which is not there"
        missing = sections(numbers) - headings(document) if numbers else set()
        assert not missing, f"{relative(module)} refers to {name} §{missing}, which is not there"


@pytest.mark.parametrize("document", MARKDOWN, ids=relative)
def test_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(document.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{name} has no heading for #{anchor}"


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    listed = {(ROOT / "docs" / link).resolve() for link in LINK.findall(index)}
    documents = {path for path in (ROOT / "docs").rglob("*") if path.suffix in {".md", ".cddl"}}
    assert documents - listed == {ROOT / "docs" / "README.md"}


@pytest.mark.parametrize(("name", "command"), list(commands(cli)), ids=[name for name, _ in commands(cli)])
def test_every_command_and_option_is_described(name: str, command: click.Command) -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    assert re.search(rf"^### .*`{name}\b", text, re.MULTILINE), f"docs/cli.md has no heading for {name}"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            option = max(parameter.opts, key=len)
            assert f"{option}`" in text or f"{option} " in text or f"{option}]" in text, f"{option} of {name}"


def test_no_command_is_described_that_is_not_there() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    described = set(re.findall(r"`(handoff [^`\[]+)", "\n".join(re.findall(r"^### (.+)$", text, re.MULTILINE))))
    known = {name for name, _ in commands(cli)}
    for heading in described:
        assert any(heading == name or heading.startswith(f"{name} ") for name in known), heading


def test_every_setting_is_described() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)`( ↻)? \| .+ \| .+ \| .+ \|$", text, re.MULTILINE))
    assert set(rows) == {field.name for field in fields(Settings)}
    assert {name for name, restart in rows.items() if restart} == {name for name in rows if not is_live(name)}


def test_the_example_configuration_is_accepted_and_uses_every_setting(tmp_path: Path) -> None:
    [example] = code_blocks(ROOT / "docs" / "configuration.md", "toml")
    (tmp_path / CONFIG_NAME).write_text(example)
    assert load(tmp_path).name == "laptop"
    assert set(tomllib.loads(example)) == {field.name for field in fields(Settings)}


def every_error(kind: type[HandoffError] = HandoffError) -> Iterator[type[HandoffError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from every_error(child)


def test_the_error_tree_is_described_with_codes_and_exit_codes() -> None:
    text = (ROOT / "docs" / "specs" / "errors.md").read_text()
    described = set(re.findall(r'^[│├└─ ]*(\w+Error) +(\d) +"([\w-]+)"', text, re.MULTILINE))
    assert described == {
        (kind.__name__, str(int(kind.exit_code)), kind.code)
        for kind in every_error()
        if kind.__module__ == HandoffError.__module__
    }


def test_every_reason_of_a_rejection_is_described() -> None:
    text = (ROOT / "docs" / "specs" / "errors.md").read_text()
    assert set(re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)) == {reason.value for reason in RejectReason}


@pytest.mark.parametrize("document", MARKDOWN, ids=relative)
def test_python_examples_compile(document: Path) -> None:
    for block in code_blocks(document, "python"):
        compile(block, str(document), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_the_readme_imports_what_is_there() -> None:
    for block in code_blocks(ROOT / "README.md", "python"):
        imports = [node for node in ast.parse(block).body if isinstance(node, ast.ImportFrom)]
        assert imports
        for node in imports:
            package = __import__(str(node.module))
            assert all(hasattr(package, alias.name) for alias in node.names)


def test_the_readme_has_the_four_interfaces_and_a_place_for_figures() -> None:
    text = (ROOT / "README.md").read_text()
    for title in (
        "Session Handoff 2 (HandoffV2)",
        "Session Handoff v1.7 (MultiClientSyncHandler)",
        "Session Handoff 7 (the user's procedure)",
        "Device Linking v1.4",
    ):
        assert f"\n## {title}\n" in text
    assert text.index("<!-- figures -->") < text.index("<!-- /figures -->")
