# SPDX-License-Identifier: Apache-2.0
"""Tables of transitions: what both roles' machines are made of. Layer: protocol, pure.

A machine is a frozen dataclass with a ``state``; a table gives for a state and a type of event the rule that applies.
A pair that the table does not list is an error: the peer's when the event is a message, else ours.
Specification: docs/specs/handoff-v2.md §6, §7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Generic, TypeVar, cast

from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError

M = TypeVar("M")
"""A machine."""
S = TypeVar("S", bound=Enum)
"""Its states."""
E = TypeVar("E")
"""Its effects."""


def always(_machine: object, _event: object) -> bool:
    """Holds always."""
    return True


@dataclass(frozen=True)  # Without slots: Python 3.11 cannot make a generic, frozen class with slots.
class Rule(Generic[M, S, E]):
    """One line of a table: the state that follows and what is done on the way.

    Args:
        then: The state that follows.
        act: Gives the machine's other fields and the effects.
        when: What must hold; an event for which it does not is out of date and changes nothing.
    """

    then: S
    act: Callable[[M, Any], tuple[M, tuple[E, ...]]]
    when: Callable[[M, Any], bool] = always


Table = Mapping[tuple[S, type], Rule[M, S, E]]


def only(*effects: Any) -> Callable[[Any, Any], tuple[Any, tuple[Any, ...]]]:
    """An action that changes no field and has always the same effects."""
    return lambda machine, _event: (machine, effects)


def apply_rule(
    table: Table[S, M, E], machine: M, event: object, *, role: str, messages: tuple[type, ...]
) -> tuple[M, tuple[E, ...]]:
    """Apply one event to a machine.

    Args:
        table: The rules.
        machine: Where it is.
        event: What happened.
        role: For the error's words: ``source`` or ``target``.
        messages: Types of events that come from the peer.

    Returns:
        The next machine and the effects to carry out in order.

    Raises:
        RemoteProtocolError: The peer sent a message that has no place in this state.
        LocalProtocolError: This side's shell raised an event that has no place in this state.
    """
    state: S = cast("Any", machine).state
    rule = table.get((state, type(event)))
    if rule is None:
        kind = RemoteProtocolError if isinstance(event, messages) else LocalProtocolError
        raise kind(f"a {role} that is {state.value} cannot take {type(event).__name__}")
    if not rule.when(machine, event):
        return machine, ()
    after, effects = rule.act(machine, event)
    return cast("M", replace(cast("Any", after), state=rule.then)), effects
