# SPDX-License-Identifier: Apache-2.0
"""Commands against one real agent: every process here is the real one."""

from __future__ import annotations

import json
import select
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Device


@pytest.fixture(scope="module")
def session(device: Device) -> Path:
    """A folder and a conversation that are a session called work."""
    folder = device.place / "report"
    folder.mkdir()
    (folder / "draft.txt").write_text("a dark and stormy night\n")
    (device.place / "chat.jsonl").write_text('{"role": "user"}\n')
    answer = device("start", "report", "chat.jsonl", "--title", "work", "--json")
    assert answer.exit_code == 0, answer.out
    return folder


def test_a_device_has_a_name_and_an_id(device: Device) -> None:
    result = device("whoami", "--json").last
    assert (result["name"], len(result["device"])) == ("laptop", 32)
    assert device("whoami").out == (
        f"laptop  {result['device']}  ({result['key']})\n"
        f"Its secret keys are in the file {device.home}/identity, which only this user may read.\n"
    )


def test_the_status_of_an_agent_has_its_stable_keys(device: Device) -> None:
    device("whoami")
    result = device("status", "--json").last
    assert result["handoff"] is True
    assert {"device", "port", "engine", "peers_online", "sessions", "requests", "active", "receive_dir"} <= set(result)
    assert result["visible"] == "nobody", "multicast is off in these tests"
    assert result["keys"] == "file"


@pytest.mark.parametrize("words", [("status",), ("agent", "status")])
def test_the_status_of_an_agent_is_for_people(device: Device, words: tuple[str, ...]) -> None:
    device("whoami")
    told = device(*words).out
    assert "0 devices in sight" in told
    assert "it announces itself to nobody" in told
    assert f"its secret keys are in the file {device.home}/identity" in told


def test_a_second_agent_on_the_same_home_is_refused(device: Device) -> None:
    device("whoami")
    answer = device("agent", "run", "--json")
    assert answer.exit_code == 2
    assert "already running" in answer.last["error"]["message"]


def test_nobody_in_sight_is_said_with_what_to_do(device: Device) -> None:
    answer = device("peers")
    assert answer.out == "NAME  LINK  STATE  MAY  KEY  ID\n"
    assert "handoff link" in answer.err
    assert "mDNS is switched off" in answer.err


def test_a_session_is_listed_with_its_parts(device: Device, session: Path) -> None:
    [listed] = device("sessions", "--json").last["sessions"]
    assert (listed["title"], listed["role"], listed["epoch"], listed["primary"]) == ("work", "primary", 1, "laptop")
    assert listed["paths"] == [str(session), str(device.place / "chat.jsonl")]
    assert [part["type"] for part in listed["parts"]] == ["files", "messages"]


def test_a_table_of_sessions_is_for_people(device: Device, session: Path) -> None:
    header, line = device("sessions").out.splitlines()
    assert header.split() == ["TITLE", "ROLE", "EPOCH", "PRIMARY", "ID", "PATHS"]
    assert line.startswith("work ")
    assert line.index("primary") == header.index("ROLE")


def test_a_path_belongs_to_one_session(device: Device, session: Path) -> None:
    answer = device("start", "report")
    assert answer.exit_code == 2
    assert "'work'" in answer.err


def test_a_stopped_session_is_taken_up_again_by_starting_it(device: Device, session: Path) -> None:
    [before] = device("sessions", "--json").last["sessions"]
    assert device("stop", "work").exit_code == 0
    assert device("sessions", "--json").last["sessions"] == []
    assert device("start", "report", "chat.jsonl", "--json").last["session"] == before["session"]
    assert session.joinpath("draft.txt").is_file()


def test_the_history_of_a_new_session_begins_here(device: Device, session: Path) -> None:
    result = device("history", "work", "--verify", "--json").last
    assert result["verified"] is True
    assert result["history"] == [{"index": 0, "statement": "genesis", "primary": "laptop", "epoch": 1}]
    assert device("history", "work", "--verify").out.startswith("epoch 1: started on laptop\n")


def test_a_damaged_history_is_said_with_the_first_bad_link(device: Device, session: Path) -> None:
    sql = "UPDATE sessions SET chain = ? WHERE title = 'work'"
    with closing(sqlite3.connect(device.home / "store.sqlite3")) as database:
        [(chain,)] = database.execute("SELECT chain FROM sessions WHERE title = 'work'")
        database.execute(sql, (chain[:-1] + bytes([chain[-1] ^ 1]),))
        database.commit()
        answer = device("history", "work", "--verify")
        database.execute(sql, (chain,))
        database.commit()
    assert answer.exit_code == 6
    assert answer.err.startswith("handoff: link 0 of the ownership chain, due from the first primary, is bad: ")
    assert device("history", "work", "--verify").exit_code == 0


def test_no_request_waits(device: Device) -> None:
    assert device("requests", "--json").last == {"requests": [], "more": 0}
    assert "No request" in device("requests").err


def test_nothing_is_in_doubt(device: Device) -> None:
    answer = device("recover", "--json")
    assert (answer.exit_code, answer.last) == (0, {"in_doubt": [], "lost": [], "old_copy": None, "resolved": True})


def test_what_is_not_in_doubt_is_not_forced(device: Device, session: Path) -> None:
    for words in (("recover", "work", "--force", "--json"), ("recover", "work", "--force")):
        answer = device(*words)
        assert answer.exit_code == 2
        assert "'work' is not in doubt" in answer.out + answer.err


@pytest.mark.parametrize("words", [("history",), ("undo",), ("recover", "--force"), ("take",), ("stop",)], ids=" ".join)
def test_without_a_session_the_folder_one_stands_in_is_meant_and_elsewhere_the_choices_are_listed(
    device: Device, session: Path, words: tuple[str, ...]
) -> None:
    other = device.place / "other"
    other.mkdir()
    device("start", "other", "--json")
    try:
        lost = device(*words)
        assert lost.exit_code == 2
        assert "work (" in lost.err
        assert "other (" in lost.err
        here = device(*words, cwd=session)
        assert "'other'" not in here.out + here.err
        assert "several" not in here.err
        assert "'work'" in here.out + here.err or here.out.startswith("epoch 1")
    finally:
        device("stop", "other")
        device("start", "report", "chat.jsonl")
        other.rmdir()


def test_where_there_is_one_session_it_need_not_be_named(device: Device, session: Path) -> None:
    assert device("history", cwd=device.home).out.startswith("epoch 1: started on laptop\n")


@pytest.mark.parametrize(
    "words",
    [
        ("undo", "work"),
        ("undo", "nothing"),
        ("to", "nobody", "work"),
        ("history", "nothing"),
        ("stop", "nothing"),
        ("start", "not-there"),
        ("unlink", "nobody"),
        ("take", "nothing"),
        ("accept",),
        ("reject", "abcdefgh"),
        ("recover", "nothing"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_exit_code_4(device: Device, session: Path, words: tuple[str, ...]) -> None:
    answer = device(*words, "--json")
    assert (answer.exit_code, answer.last["error"]["code"]) == (4, "not-found")


def test_a_code_that_is_none_is_exit_code_6(device: Device) -> None:
    answer = device("link", "seven-sausages", "--own", "--json")
    assert (answer.exit_code, answer.last["error"]["code"]) == (6, "link-code")


def test_events_are_lines_until_the_command_is_interrupted(device: Device) -> None:
    device("whoami")
    with device.start("peers", "--watch", "--json") as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["peers"] == []
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=10)
    assert watching.returncode == 7


def test_what_happens_is_told_by_events(device: Device) -> None:
    other = device.place / "other"
    other.mkdir()
    with device.start("events", "--json") as listening:
        assert listening.stdout is not None
        told = ""
        # The listener is connected when it hears of a session; until then sessions come and go.
        for number in range(50):
            (other / str(number)).mkdir()
            device("start", f"other/{number}")
            device("stop", f"{number}")
            if listening.poll() is None and select.select([listening.stdout], [], [], 0)[0]:
                told = listening.stdout.readline()
                break
        listening.send_signal(signal.SIGINT)
        listening.communicate(timeout=10)
    assert json.loads(told)["event"] in {"session-started", "session-stopped", "followed", "changed"}


def test_a_stopped_agent_is_gone_and_the_next_command_starts_one(device: Device) -> None:
    before = device("whoami", "--json").last
    assert device("agent", "stop", "--json").last == {"stopped": True}
    assert device("agent", "stop").exit_code == 4
    assert device("agent", "status").exit_code == device("status").exit_code == 4
    assert device("whoami", "--json").last == before


def test_an_agent_that_cannot_start_says_why(device: Device, tmp_path: Path) -> None:
    home = tmp_path / "broken"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text("colour = 1\n")
    answer = device("--home", str(home), "whoami", "--json")
    assert answer.exit_code == 2
    assert "config.toml:1:1: colour" in answer.last["error"]["message"]
