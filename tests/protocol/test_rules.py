# SPDX-License-Identifier: Apache-2.0
"""Tables of transitions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import pytest

from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError
from p2p_handoff.protocol.rules import Rule, Table, apply_rule, only


class Lamp(Enum):
    OFF = "off"
    ON = "on"


@dataclass(frozen=True)
class Machine:
    state: Lamp = Lamp.OFF
    broken: bool = False


class Press:
    """A local event."""


class Call:
    """A message."""


TABLE: Table[Lamp, Machine, str] = {
    (Lamp.OFF, Press): Rule(Lamp.ON, only("click", "light"), when=lambda machine, _event: not machine.broken),
}


def press(machine: Machine, event: object) -> tuple[Machine, tuple[str, ...]]:
    return apply_rule(TABLE, machine, event, role="lamp", messages=(Call,))


def test_a_rule_gives_the_next_state_and_the_effects_in_order() -> None:
    assert press(Machine(), Press()) == (Machine(Lamp.ON), ("click", "light"))


def test_an_event_whose_condition_does_not_hold_changes_nothing() -> None:
    assert press(Machine(broken=True), Press()) == (Machine(broken=True), ())


def test_an_unlisted_local_event_is_our_own_defect() -> None:
    with pytest.raises(LocalProtocolError, match="a lamp that is on cannot take Press"):
        press(Machine(Lamp.ON), Press())


def test_an_unlisted_message_is_the_peers_fault() -> None:
    with pytest.raises(RemoteProtocolError, match="a lamp that is off cannot take Call"):
        press(Machine(), Call())
