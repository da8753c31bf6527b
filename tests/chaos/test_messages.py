# SPDX-License-Identifier: Apache-2.0
"""Every message of the product has places where the link is cut, and agents tell of what is looked for there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2p_handoff.protocol.messages import MESSAGES
from tests.chaos.cases import AFTER, BEFORE, Case, Side, kind_named
from tests.chaos.device import TELLING
from tests.chaos.messages import NOT_CUT, OBJECT, PLACES, mark
from tests.chaos.programmes import PROGRAMMES

ROOT = Path(__file__).resolve().parents[2]


def test_every_message_has_a_place() -> None:
    assert {*PLACES, *NOT_CUT} == {*MESSAGES, OBJECT}
    assert not PLACES.keys() & NOT_CUT.keys()
    assert all(PLACES.values())


def test_every_place_is_in_a_programme() -> None:
    for where in PLACES.values():
        for place in where:
            assert place.stage in PROGRAMMES[place.way].stages
            assert place.side in Side


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("message", PLACES)
def test_a_cut_at_a_message_is_known_by_its_name(when: str, message: str) -> None:
    place = PLACES[message][0]
    case = Case(kind_named(f"{when}-{message}"), place.way, place.stage, place.side, 1)
    assert Case.parse(str(case)) == case
    assert (case.kind.family, case.kind.message) == (when, message)


def test_an_agent_tells_of_what_it_sends_and_of_what_came() -> None:
    """Two connections of the product, with what agents of such runs have on their path."""
    script = """
from pathlib import Path
told = []
Path.rmdir = lambda self: told.append(self.name)
from tests.protocol.test_connection import Pair, record
pair = Pair()
pair.exchange()
pair.left.send_object(record(10))
pair.exchange()
print(*told)
"""
    path = os.pathsep.join((str(TELLING), str(ROOT)))
    environment = {**os.environ, "PYTHONPATH": path}
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    words = {mark(way, message) for way in ("sent", "came") for message in ("hello", OBJECT)}
    assert words <= set(told.stdout.split())
