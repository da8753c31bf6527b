# SPDX-License-Identifier: Apache-2.0
"""Usage errors, exit codes and the form of errors."""

from __future__ import annotations

import socket
from pathlib import Path

import click
import pytest

from p2p_handoff.cli import agent_process, session_commands
from p2p_handoff.cli.main import TABLE, cli
from p2p_handoff.control.private_directory import prepare_directory
from p2p_handoff.control.socket_path import socket_path
from p2p_handoff.errors import ExitCode, RejectedError
from tests.cli.conftest import InProcess

WRONG = [
    ("to",),
    ("frobnicate",),
    ("whoami", "--jsn"),
    ("to", "desktop", "--only", "pictures"),
    ("to", "desktop", "--max-pause", "0"),
    ("start",),
    ("agent", "run", "--port", "70000"),
    ("recover", "--wait", "-1"),
]


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_a_usage_error_is_one_sentence_and_exit_code_2(handoff: InProcess, words: tuple[str, ...]) -> None:
    answer = handoff(*words)
    assert (answer.exit_code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert answer.err.startswith("handoff: ")
    assert "--help'." in answer.err


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_with_json_a_usage_error_is_an_object(handoff: InProcess, words: tuple[str, ...]) -> None:
    answer = handoff(*words, "--json")
    assert answer.exit_code == 2
    error = answer.last["error"]
    assert (error["code"], error["exit_code"]) == ("usage", 2)
    assert answer.err == ""


def test_without_a_command_the_help_is_shown(handoff: InProcess) -> None:
    answer = handoff()
    assert answer.exit_code == 2
    assert "handoff link CODE" in answer.err


def test_help_lists_commands_in_the_order_of_use(handoff: InProcess) -> None:
    answer = handoff("--help")
    assert answer.exit_code == 0
    assert answer.out.index("\n  link ") < answer.out.index("\n  to ") < answer.out.index("\n  agent ")


def test_no_summary_in_the_help_is_cut_off(handoff: InProcess) -> None:
    assert "..." not in handoff("--help").out.partition("Commands:")[2]


def test_the_version_is_told(handoff: InProcess) -> None:
    assert handoff("--version").out.startswith("handoff, version ")


def test_an_error_of_an_agent_that_does_not_run_has_exit_code_4(handoff: InProcess) -> None:
    answer = handoff("agent", "status", "--json")
    assert answer.exit_code == 4
    assert answer.last["error"]["code"] == "unreachable"


def test_a_home_that_others_may_enter_is_refused_with_the_cure(handoff: InProcess, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    answer = handoff("whoami")
    assert answer.exit_code == 6
    assert f"chmod 700 {tmp_path / 'home'}" in answer.err


def test_home_may_stand_before_the_command(handoff: InProcess, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    assert str(tmp_path / "open") in handoff("--home", str(tmp_path / "open"), "whoami").err


def test_home_behind_the_command_goes_before_the_environment(handoff: InProcess, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    assert str(tmp_path / "open") in handoff("whoami", "--home", str(tmp_path / "open")).err


@pytest.mark.parametrize("place", ["/dev/null/home", "/proc/home"])
def test_a_home_that_cannot_be_made_is_said_in_a_sentence(handoff: InProcess, place: str) -> None:
    answer = handoff("--home", place, "sessions")
    assert answer.exit_code == 1
    assert answer.err.startswith(f"handoff: the data directory {place} cannot be used: ")
    assert answer.err.count("\n") == 1


def test_a_defect_is_a_sentence_and_no_traceback(handoff: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_home: Path) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(session_commands, "reach", broken)
    answer = handoff("sessions")
    assert (answer.exit_code, answer.out) == (1, "")
    assert answer.err == "handoff: something unexpected happened (RuntimeError: a defect); please report it.\n"


def test_an_error_in_the_words_of_a_peer_forges_nothing(handoff: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_home: Path) -> None:
        raise RejectedError("\x1b[2Jthe other device refused: ok\nAccept? [y/N] y\u202e")

    monkeypatch.setattr(session_commands, "reach", refused)
    answer = handoff("sessions")
    assert answer.exit_code == ExitCode.REJECTED
    assert answer.err.count("\n") == 1
    assert answer.err.rstrip("\n").isprintable()


def test_an_agent_that_hangs_is_not_waited_for(
    handoff: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    path = socket_path(home)
    prepare_directory(path)
    monkeypatch.setattr(agent_process, "ANSWER_DEADLINE", 0.2)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(path))
        silent.listen()
        answer = handoff("--home", str(home), "sessions")
    path.unlink()
    assert answer.exit_code == 5


@pytest.mark.parametrize(("raised", "exit_code"), [(click.exceptions.Abort(), 7), (BrokenPipeError(), 0)])
def test_an_interrupted_command_says_so_and_a_closed_pipe_nothing(
    handoff: InProcess, monkeypatch: pytest.MonkeyPatch, raised: BaseException, exit_code: int
) -> None:
    def interrupted(_home: Path) -> None:
        raise raised

    monkeypatch.setattr(session_commands, "reach", interrupted)
    answer = handoff("sessions")
    assert answer.exit_code == exit_code
    assert answer.err == ("handoff: cancelled\n" if exit_code else "")


def loaded() -> dict[str, click.Command]:
    context = click.Context(cli)
    return {name: command for name in TABLE if (command := cli.get_command(context, name)) is not None}


def test_every_command_has_json_and_a_summary() -> None:
    for name, command in loaded().items():
        leaves = command.commands.values() if isinstance(command, click.Group) else [command]
        for leaf in leaves:
            assert any(parameter.name == "as_json" for parameter in leaf.params), name
            assert leaf.help
