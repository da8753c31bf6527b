# SPDX-License-Identifier: Apache-2.0
"""Pick up a live session on another device exactly where you left it.

The public names are loaded when they are first used: the command line imports this package at every start and needs
none of them. Layer: none. Specification: docs/python.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from p2p_handoff.agent.agent import Agent as Agent
    from p2p_handoff.agent.handoff_v2 import HandoffV2 as HandoffV2
    from p2p_handoff.agent.multi_client_sync import MultiClientSyncHandler as MultiClientSyncHandler
    from p2p_handoff.errors import AmbiguousError as AmbiguousError
    from p2p_handoff.errors import CancelledError as CancelledError
    from p2p_handoff.errors import ContentGoneError as ContentGoneError
    from p2p_handoff.errors import EngineError as EngineError
    from p2p_handoff.errors import HandoffError as HandoffError
    from p2p_handoff.errors import InDoubtError as InDoubtError
    from p2p_handoff.errors import IntegrityError as IntegrityError
    from p2p_handoff.errors import KeyringError as KeyringError
    from p2p_handoff.errors import LinkCodeError as LinkCodeError
    from p2p_handoff.errors import LocalProtocolError as LocalProtocolError
    from p2p_handoff.errors import NoSpaceError as NoSpaceError
    from p2p_handoff.errors import NotFoundError as NotFoundError
    from p2p_handoff.errors import NotInPlaceError as NotInPlaceError
    from p2p_handoff.errors import PathError as PathError
    from p2p_handoff.errors import PolicyError as PolicyError
    from p2p_handoff.errors import RejectedError as RejectedError
    from p2p_handoff.errors import RemoteProtocolError as RemoteProtocolError
    from p2p_handoff.errors import RestlessError as RestlessError
    from p2p_handoff.errors import SealError as SealError
    from p2p_handoff.errors import SecretsError as SecretsError
    from p2p_handoff.errors import StoppedError as StoppedError
    from p2p_handoff.errors import StorageError as StorageError
    from p2p_handoff.errors import TimedOutError as TimedOutError
    from p2p_handoff.errors import TrustError as TrustError
    from p2p_handoff.errors import UnreachableError as UnreachableError
    from p2p_handoff.errors import UsageError as UsageError
    from p2p_handoff.errors import VersionError as VersionError
    from p2p_handoff.security.link_terms import LinkKind as LinkKind
    from p2p_handoff.settings.config import Settings as Settings

_HOMES: Final = {
    "Agent": "p2p_handoff.agent.agent",
    "Settings": "p2p_handoff.settings.config",
    "HandoffV2": "p2p_handoff.agent.handoff_v2",
    "MultiClientSyncHandler": "p2p_handoff.agent.multi_client_sync",
    "LinkKind": "p2p_handoff.security.link_terms",
    **dict.fromkeys(
        (
            "AmbiguousError",
            "CancelledError",
            "ContentGoneError",
            "EngineError",
            "HandoffError",
            "InDoubtError",
            "StoppedError",
            "IntegrityError",
            "KeyringError",
            "LinkCodeError",
            "LocalProtocolError",
            "NoSpaceError",
            "NotFoundError",
            "NotInPlaceError",
            "PathError",
            "PolicyError",
            "RejectedError",
            "RemoteProtocolError",
            "RestlessError",
            "SealError",
            "SecretsError",
            "StorageError",
            "TimedOutError",
            "TrustError",
            "UnreachableError",
            "UsageError",
            "VersionError",
        ),
        "p2p_handoff.errors",
    ),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted((*_HOMES, *globals()))
