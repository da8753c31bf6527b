# SPDX-License-Identifier: Apache-2.0
"""Which parts of a session go out."""

from __future__ import annotations

from p2p_handoff import PolicyError, UsageError
from p2p_handoff.agent.offering import Selection, withheld_as_json
from p2p_handoff.content.digests import Digest
from p2p_handoff.ids import DeviceId, PartId, SessionId
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.manifest import Manifest, Part, PartType
from p2p_handoff.session.policy import DEFAULTS, Policy, Rule, Table

ROOT = Digest(bytes(32))
FOLDER = Part(PartId("p1"), PartType.FILES, "folder", "project", ROOT, 1, 10, 2)
TALK = Part(PartId("p2"), PartType.MESSAGES, "conversation", "talk.jsonl", ROOT, 1, 20, 3)
ELSEWHERE = Part(PartId("p3"), PartType.FILES, "folder", "other", ROOT, 1, 10, 2, DeviceId("d" * 32))
SESSION = Manifest(SessionId("s" * 26), "work", (FOLDER, TALK, ELSEWHERE))
EVERYTHING = Policy((), DEFAULTS[LinkKind.OWN])
NO_FILES = Policy((Table(Rule(may_leave=frozenset((PartType.MESSAGES,)))),), DEFAULTS[LinkKind.OWN])
NONE: frozenset[PartId] = frozenset()


def test_all_that_is_here_goes_out_by_default() -> None:
    selection = Selection(frozenset(), NONE, EVERYTHING)
    assert selection.offered(SESSION) == {"p1", "p2"}
    assert selection.withheld(SESSION) == ()


def test_what_was_not_chosen_is_not_offered_and_not_called_withheld() -> None:
    selection = Selection(frozenset(("messages",)), NONE, NO_FILES)
    assert selection.offered(SESSION) == {"p2"}
    assert selection.withheld(SESSION) == ()


def test_what_may_not_leave_is_withheld() -> None:
    selection = Selection(frozenset(), NONE, NO_FILES)
    assert selection.offered(SESSION) == {"p2"}
    assert withheld_as_json(selection.withheld(SESSION)) == [
        {"id": "p1", "type": "files", "name": "project", "bytes": 10, "items": 2}
    ]


def test_what_the_taker_may_not_take_is_withheld() -> None:
    selection = Selection(frozenset(), frozenset((FOLDER.id,)), EVERYTHING)
    assert selection.offered(SESSION) == {"p2"}
    assert selection.withheld(SESSION) == (FOLDER,)


def test_nothing_left_is_the_choice_or_the_settings() -> None:
    assert isinstance(Selection(frozenset(("context",)), NONE, NO_FILES).nothing_left(SESSION, "desktop"), UsageError)
    error = Selection(frozenset(("files",)), NONE, NO_FILES).nothing_left(SESSION, "desktop")
    assert isinstance(error, PolicyError)
    assert "project (files) stays" in error.sentence
    assert int(error.exit_code) == 2
