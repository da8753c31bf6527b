# SPDX-License-Identifier: Apache-2.0
"""Someone else's device asks, and a person answers: docs/specs/handoff-v2.md §5."""

from __future__ import annotations

import pytest

from tests.network.peer import Devices
from tests.network.trees import assert_same, conversation, project, wait_for_cookies

pytestmark = pytest.mark.network


def test_someone_elses_folder_waits_for_an_answer_and_goes_where_it_is_told(devices: Devices) -> None:
    laptop, desktop = devices.linked(kind="other")
    folder = project(laptop.user / "work")
    pushing = laptop.begin("to", "desktop", str(folder))
    request = desktop.request()
    assert (request["from"], request["title"]) == ("laptop", "work")
    assert [part["type"] for part in request["parts"]] == ["files"]
    into = desktop.user / "from others"
    arrived = desktop.ask("accept", request["token"], "--into", str(into))
    assert arrived["into"] == [str(into / "work")]
    assert pushing.answer().done()["outcome"] == "done"
    assert_same(folder, into / "work")


def test_a_rejection_carries_its_reason_to_the_source(devices: Devices) -> None:
    laptop, desktop = devices.linked(kind="other")
    folder = project(laptop.user / "work")
    pushing = laptop.begin("to", "desktop", str(folder))
    desktop.request()
    desktop.ask("reject", "--reason", "not before lunch")
    answer = pushing.answer()
    assert (answer.exit_code, answer.result["outcome"]) == (3, "rejected")
    assert "not before lunch" in answer.message
    assert laptop.session("work")["role"] == "primary"
    assert desktop.ask("sessions")["sessions"] == []


def test_only_the_messages_of_someone_else_are_accepted(devices: Devices) -> None:
    laptop, desktop = devices.linked(kind="other")
    folder, talk = project(laptop.user / "work"), conversation(laptop.user / "talk.jsonl")
    laptop.ask("start", str(folder), str(talk), "--title", "paper")
    pushing = laptop.begin("to", "desktop", "paper")
    desktop.request()
    into = desktop.user / "chosen"
    desktop.ask("accept", "--only", "messages", "--into", str(into))
    pushing.answer().done()
    wait_for_cookies(into)
    assert [path.name for path in into.iterdir()] == ["talk.jsonl"]
    assert (into / "talk.jsonl").read_bytes() == talk.read_bytes()
    assert (folder / "code.py").exists()


def test_someone_else_may_not_take(devices: Devices) -> None:
    laptop, desktop = devices.linked(kind="other")
    session = laptop.ask("start", str(project(laptop.user / "work")))["session"]
    answer = desktop.run("take", session, "--from", "laptop")
    assert answer.exit_code == 4  # what it may not take is not even listed to it
    assert laptop.session("work")["role"] == "primary"
