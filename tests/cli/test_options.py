# SPDX-License-Identifier: Apache-2.0
"""Options that commands share."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from p2p_handoff.cli import options
from p2p_handoff.cli.options import PART_TYPES, network_argv
from p2p_handoff.session.manifest import PartType


def parsed(words: list[str]) -> dict[str, object]:
    """The parameters of a command with the shared options."""

    @click.command()
    @options.common
    @options.only
    @options.into
    def command(**_values: object) -> None:
        """Do nothing."""

    return command.make_context("command", words).params


def test_part_types_are_those_of_a_manifest() -> None:
    assert set(PART_TYPES) == {kind.value for kind in PartType}


@pytest.mark.parametrize(
    ("text", "types"),
    [("messages", ["messages"]), ("messages,files", ["messages", "files"]), (" files , ", ["files"]), ("", [])],
)
def test_types_are_separated_by_commas(text: str, types: list[str]) -> None:
    assert parsed(["--only", text])["only"] == types


def test_without_only_no_type_is_named() -> None:
    assert parsed([])["only"] == []


def test_a_type_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(click.BadParameter, match="messages, documents, context, files"):
        parsed(["--only", "messages,pictures"])


def test_into_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert parsed(["--into", "here"])["into"] == tmp_path / "here"


def test_into_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(click.BadParameter):
        parsed(["--into", str(tmp_path / "file")])


def test_network_options_reach_the_agents_process_as_they_were_given() -> None:
    argv = network_argv("laptop", "aiortc", ("ws://a:1", "wss://b"), ("c:2",), no_mdns=True)
    assert " ".join(argv) == "--name laptop --engine aiortc --relay ws://a:1 --relay wss://b --peer c:2 --no-mdns"


def test_network_options_that_were_not_given_are_left_to_the_configuration() -> None:
    assert network_argv(None, None, (), (), no_mdns=False) == []
