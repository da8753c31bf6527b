# SPDX-License-Identifier: Apache-2.0
"""Two devices of one person, linked by a code and handing over: the commands as people see them."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.agent.secrets_made import private_key
from tests.cli.conftest import Device


class Pair(NamedTuple):
    """The desktop knows where the laptop is; nobody uses multicast."""

    laptop: Device
    desktop: Device


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two linked devices."""
    laptop = Device(tmp_path_factory.mktemp("laptop"))
    laptop("whoami")
    port = laptop("agent", "status", "--json").last["port"]
    desktop = Device(tmp_path_factory.mktemp("desktop"), name="desktop", peers=(f"127.0.0.1:{port}",))
    with laptop.start("link", "--json", "--own") as opening:
        joined = desktop("link", code_of(opening), "--own")
        opening.communicate(timeout=20)
    assert "Linked with laptop (your own device)." in joined.out
    assert "must show the same words" in joined.err
    yield Pair(laptop, desktop)
    for device in (laptop, desktop):
        device("agent", "stop")


def code_of(process: subprocess.Popen[str]) -> str:
    """The code that a command shows first."""
    assert process.stdout is not None
    fields = json.loads(process.stdout.readline())
    assert fields["event"] == "code"
    return str(fields["code"])


@pytest.fixture(scope="module")
def report(pair: Pair) -> Path:
    """A folder that was handed from the desktop to the laptop."""
    folder = pair.desktop.place / "report"
    folder.mkdir()
    (folder / "draft.txt").write_text("a dark and stormy night\n")
    answer = pair.desktop("to", "laptop", "report")
    assert answer.exit_code == 0, answer.err
    told, figures = answer.out.splitlines()
    assert told == "'report' is on laptop."
    assert " ms (" in figures
    return folder


def test_a_folder_arrives_where_new_sessions_go(pair: Pair, report: Path) -> None:
    assert (pair.laptop.place / "received" / "report" / "draft.txt").read_text() == "a dark and stormy night\n"


def test_after_it_the_roles_are_exchanged(pair: Pair, report: Path) -> None:
    roles = [device("sessions", "--json").last["sessions"][0]["role"] for device in pair]
    assert roles == ["primary", "secondary"]


def test_a_session_that_is_elsewhere_cannot_be_handed_over(pair: Pair, report: Path) -> None:
    answer = pair.desktop("to", "laptop", "report")
    assert answer.exit_code == 3
    assert "handoff take" in answer.err


def test_into_for_a_session_that_lives_here_is_a_usage_error(pair: Pair, report: Path) -> None:
    answer = pair.desktop("take", "report", "--into", "elsewhere")
    assert answer.exit_code == 2
    assert str(report) in answer.err


def test_a_take_brings_it_back_where_it_was(pair: Pair, report: Path) -> None:
    answer = pair.desktop("take", "report", "--profile")
    told, _figures, bottleneck, *stages = answer.out.splitlines()
    assert told == f"'report' is here: {report}"
    assert bottleneck.startswith("bottleneck: ")
    assert any("putting it in place" in line for line in stages)
    assert "'report': here, epoch 3" in pair.desktop("status").out
    assert "'report': on desktop, epoch 3" in pair.laptop("status").out
    assert pair.desktop("history", "report", "--verify").out.splitlines()[1:3] == [
        "epoch 2: laptop took over",
        "epoch 3: desktop took over",
    ]


def test_an_undo_brings_back_what_was_here_and_says_what_it_replaced(pair: Pair, report: Path) -> None:
    listed = pair.desktop("history", "report").out
    assert "generation 1: before a handoff arrived, 24 B, " in listed
    (report / "draft.txt").write_text("a bright and sunny morning\n")
    answer = pair.desktop("undo", "report")
    assert answer.out == "'report' is as it was in generation 1; what it replaced is generation 2.\n"
    assert (report / "draft.txt").read_text() == "a dark and stormy night\n"
    again = pair.desktop("undo", "report", "--json").last
    assert (again["generation"], again["kept_as"], again["conflicts"]) == (2, 3, [])
    assert (report / "draft.txt").read_text() == "a bright and sunny morning\n"
    assert pair.desktop("undo", "report", "--generation", "9").exit_code == 4
    assert pair.laptop("undo", "report").exit_code == 3


def test_the_report_has_its_stable_keys(pair: Pair) -> None:
    (pair.desktop.place / "chat.jsonl").write_text('{"role": "user"}\n')
    report = pair.desktop("to", "laptop", "chat.jsonl", "--json").last
    keys = {"outcome", "txn", "epoch", "pause_ms", "seconds", "sent_bytes", "received_bytes", "engine", "path", "into"}
    assert keys <= set(report)
    assert (report["outcome"], report["exit_code"], report["epoch"]) == ("done", 0, 2)


def test_a_linked_device_is_listed(pair: Pair) -> None:
    [listed] = pair.desktop("peers", "--json").last["peers"]
    assert (listed["name"], listed["linked"]) == ("laptop", "own")


def test_a_secret_goes_to_an_own_device_and_is_told(pair: Pair) -> None:
    folder = pair.desktop.place / "keys"
    folder.mkdir()
    (folder / "id_rsa").write_bytes(private_key())
    answer = pair.desktop("to", "laptop", "keys")
    assert answer.exit_code == 0, answer.err
    assert "goes along, and looks like a secret: keys/id_rsa (private-key)" in answer.err
    assert (pair.laptop.place / "received" / "keys" / "id_rsa").is_file()


def test_a_secret_stays_when_somebody_elses_device_gets_the_session(pair: Pair) -> None:
    pair.laptop("unlink", "desktop")
    pair.desktop("unlink", "laptop")
    with pair.laptop.start("link", "--json", "--other") as opening:
        pair.desktop("link", code_of(opening), "--other")
        opening.communicate(timeout=20)
    folder = pair.desktop.place / "shared"
    folder.mkdir()
    (folder / "id_rsa").write_bytes(private_key())
    (folder / "main.py").write_text("x = 1\n")
    with pair.desktop.start("to", "laptop", "shared", "--json") as handing:
        assert handing.stdout is not None
        offered = next(line for line in handing.stdout if json.loads(line).get("event") == "offered")
        assert json.loads(offered)["asks"]
        while not pair.laptop("requests", "--json").last["requests"]:
            continue  # The offer is on its way.
        waiting = pair.laptop("accept", "--json")
        out, _ = handing.communicate(timeout=60)
    sent, taken = json.loads(out.splitlines()[-1]), waiting.last
    [secret] = sent["secrets"]
    assert secret == {
        "part": "p1", "name": "shared", "path": "id_rsa", "kind": "private-key", "withheld": True, "held_by": "desktop",
    }  # fmt: skip
    assert taken["secrets"] == [secret]
    assert [item.name for item in (pair.laptop.place / "received" / "shared").iterdir()] == ["main.py"]


def test_an_unlinked_device_is_a_stranger(pair: Pair, report: Path) -> None:
    folder = pair.desktop.place / "other"
    folder.mkdir()
    assert pair.desktop("unlink", "laptop").out == "laptop is linked no more.\n"
    assert pair.desktop("to", "laptop", "other").exit_code == 4


def test_ctrl_c_while_nobody_has_used_the_code_is_a_cancellation(pair: Pair) -> None:
    (pair.laptop.place / "gift.jsonl").write_text('{"role": "user"}\n')
    with pair.laptop.start("send", "gift.jsonl", "--json", "--no-mdns") as sending:
        assert code_of(sending)
        sending.send_signal(signal.SIGINT)
        out, err = sending.communicate(timeout=30)
    assert sending.returncode == 7
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "cancelled"
    assert "Taking it back" in err
