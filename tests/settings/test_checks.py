# SPDX-License-Identifier: Apache-2.0
"""Single values: what is taken, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.session.manifest import PartType
from p2p_handoff.session.policy import Verdict
from p2p_handoff.settings import checks
from p2p_handoff.settings.checks import Check


@pytest.mark.parametrize(
    ("check", "value", "used"),
    [
        (checks.verdict, "ask", Verdict.ASK),
        (checks.verdict_for_all, "refuse", Verdict.REFUSE),
        (checks.part_types, ["files", "messages"], frozenset((PartType.FILES, PartType.MESSAGES))),
        (checks.part_types, [], frozenset()),
        (checks.path, "/srv", Path("/srv")),
        (checks.urls("ws", "wss"), ["ws://a", "wss://b"], ("ws://a", "wss://b")),
        (checks.seconds, 1, 1.0),
        (checks.port, 0, 0),
    ],
)
def test_a_good_value_is_used(check: Check, value: Any, used: Any) -> None:
    assert check(value) == used


@pytest.mark.parametrize(
    ("check", "value", "words"),
    [
        (checks.verdict, "acept", "must be accept, ask or refuse \\(did you mean 'accept'"),
        (checks.verdict, True, "must be accept, ask or refuse$"),
        (checks.verdict, ["ask"], "must be accept, ask or refuse$"),
        (checks.verdict_for_all, "accept", "for a device of its own table only"),
        (checks.part_types, ["mesages"], "'mesages' is none of .* \\(did you mean 'messages'"),
        (checks.part_types, "messages", "must be a list of texts"),
        (checks.urls("ws", "wss"), ["http://a"], "'http://a' must begin with ws: or wss:"),
        (checks.urls("stun"), ["stun:"], "must begin with stun:"),
        (checks.path, "here", "must be an absolute path"),
        (checks.one_of("auto", "wrtc"), "wrt", "must be auto or wrtc \\(did you mean 'wrtc'"),
        (checks.text, "", "must be a text"),
        (checks.boolean, "yes", "must be true or false"),
    ],
)
def test_a_bad_value_is_explained(check: Check, value: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        check(value)
