# SPDX-License-Identifier: Apache-2.0
"""Carries out, in order, what a machine of a handoff decided: the same for both sides. Layer: agent.

Specification: docs/specs/handoff-v2.md §6-7. An effect ends before the next one begins. One that meets a broken wire
is passed over, since the next connection says everything again; one that fails ends the row.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from p2p_handoff.errors import HandoffError, UnreachableError
from p2p_handoff.ids import TxnId

log = logging.getLogger(__name__)

Effect = TypeVar("Effect")

STORE_AGAIN_AFTER: Final = 2.0
"""Seconds until what could not be stored, and the other device waits for, is tried again."""


async def carry_out(
    txn: TxnId, effects: Iterable[Effect], act: Callable[[Effect], Awaitable[None]]
) -> tuple[Effect, Exception] | None:
    """Carry effects out until one fails.

    Args:
        txn: The handoff, for the log.
        effects: What its machine decided.
        act: Carries one out.

    Returns:
        The effect that failed and why, after which none was carried out; None when all were.
    """
    for effect in effects:
        try:
            await act(effect)
        except UnreachableError:
            log.debug("handoff %s: %s met a broken wire", txn[:6], type(effect).__name__)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other device must get an answer
            return effect, error
    return None


def as_failure(txn: TxnId, effect: object, error: Exception) -> HandoffError:
    """Log why an effect failed, with the place for what nobody foresaw; returns what its report carries."""
    typed = isinstance(error, HandoffError)
    log.error("handoff %s, %s: %s", txn[:6], type(effect).__name__, error, exc_info=None if typed else error)
    return error if isinstance(error, HandoffError) else unexpected(error)


def unexpected(error: Exception) -> HandoffError:
    """A defect in words."""
    return HandoffError(f"an unexpected error ({type(error).__name__})")
