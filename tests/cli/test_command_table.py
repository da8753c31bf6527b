# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from p2p_handoff.cli import main
from p2p_handoff.cli.command_table import CommandTable, Entry
from p2p_handoff.cli.main import TABLE, cli

COMMANDS = {
    f"p2p_handoff.cli.{name}"
    for name in ("agent_commands", "config_commands", "handoff_commands", "link_commands", "session_commands")
}
HEAVY = {
    "asyncio", "typing_extensions", "subprocess", "tempfile", "shutil", "hashlib", "socket", "ssl", "json",
    "platformdirs",
    "importlib.metadata", "importlib.resources", "rich", "tomlkit", "segno", "sqlite3", "cryptography", "cbor2",
    "pycrdt", "aiortc", "webrtc", "zeroconf", "aiohttp", "watchfiles", "hyperscan", "re2", "p2p_handoff.agent",
    "p2p_handoff.security", "p2p_handoff.settings", "p2p_handoff.store",
}  # fmt: skip
"""Modules each of which costs more than a command's help may."""


def imported(*words: str, home: Path) -> set[str]:
    """What a command has imported when it ends."""
    code = f"""
import sys
sys.argv = ["handoff", *{list(words)!r}]
before = set(sys.modules)
from p2p_handoff.cli.main import main
try:
    main()
finally:
    sys.stderr.write(" ".join(sorted(set(sys.modules) - before)))
"""
    environment = {"HANDOFF_HOME": str(home), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", [("--help",), ()])
def test_the_list_of_commands_imports_nothing_heavy(words: tuple[str, ...], tmp_path: Path) -> None:
    found = imported(*words, home=tmp_path)
    assert "click" in found
    assert not found & (HEAVY | COMMANDS)


def test_help_of_a_command_imports_its_own_module_alone(tmp_path: Path) -> None:
    assert imported("peers", "--help", home=tmp_path) & COMMANDS == {"p2p_handoff.cli.link_commands"}


def test_a_command_that_finds_its_agent_needs_no_words_of_codes_and_no_way_to_start_one(tmp_path: Path) -> None:
    heavy = HEAVY - {"socket", "json"}
    assert not imported("peers", "--help", home=tmp_path) & heavy


@pytest.mark.parametrize("name", TABLE)
def test_the_table_says_what_the_command_says_of_itself(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert inspect.cleandoc(command.help or "").split("\n\n")[0] == TABLE[name].summary


def test_the_list_of_commands_is_what_the_loaded_ones_would_give() -> None:
    context = click.Context(cli)
    eager = click.Group(commands=[command for name in TABLE if (command := cli.get_command(context, name))])
    listings = []
    for group in (eager, cli):
        formatter = click.HelpFormatter(width=80)
        group.format_commands(click.Context(group), formatter)
        listings.append(formatter.getvalue().splitlines())
    assert listings[0][0] == listings[1][0]
    assert listings[0] == [listings[1][0], *sorted(listings[1][1:])]  # a plain group lists its commands by name


@pytest.mark.parametrize("columns", ["40", "60", "80", "300", "", "0", "many"])
def test_help_is_as_wide_as_click_would_make_it(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert main._width() == max(min(shutil.get_terminal_size().columns, 100) - 2, 50)


def test_a_name_that_is_not_in_the_table_is_no_command() -> None:
    group = CommandTable(name="x", table={"peers": Entry("link_commands", "List.")})
    context = click.Context(group)
    assert group.get_command(context, "other") is None
    assert group.list_commands(context) == ["peers"]
