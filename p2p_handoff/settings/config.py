# SPDX-License-Identifier: Apache-2.0
"""The settings of an agent: one TOML file in its home. Layer: I/O ring. Specification: docs/configuration.md."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from p2p_handoff.errors import UsageError
from p2p_handoff.session.policy import General, Rule, Table
from p2p_handoff.settings.keys import KINDS
from p2p_handoff.settings.reading import Document, complaint, read
from p2p_handoff.settings.toml_lines import KeyPath

CONFIG_NAME: Final = "config.toml"
DEFAULT_MAX_PAUSE: Final = 0.3
"""Seconds a source may be frozen before the target can act (QEMU's default downtime limit is the same)."""

DEFAULT_GENERATIONS: Final = 5
"""A working week of handoffs to and fro."""


CREDENTIAL_NAME: Final = "turn-credential"
"""The file in a home that has the password for TURN servers, where none is named."""


@dataclass(frozen=True, slots=True)
class Turn:
    """TURN servers (RFC 8656), one account for all."""

    servers: tuple[str, ...] = ()
    """``turn:HOST:PORT``, ``turns:…``."""
    user: str = ""
    credential_file: Path | None = None
    """Has the password; None for the one in the home."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user can choose. Every field has the same name in ``config.toml``."""

    name: str
    """Display name of this device."""
    handoff: bool = True
    """False switches handoff off: nothing is offered or accepted."""
    engine: str = "auto"
    """``auto``, ``aiortc`` or ``wrtc``."""
    keys: str = "auto"
    """``auto``, ``file`` or ``keyring``: where the secret keys of this device shall be."""
    receive_dir: Path = field(default_factory=lambda: Path.home() / "Handoff")
    """Where sessions arrive that are new on this device."""
    mdns: bool = True
    visible: str = "auto"
    """``auto``, ``everyone``, ``linked`` or ``nobody``: who recognises this device on the network."""
    relays: tuple[str, ...] = ()
    """URLs of shared relays, ``ws://HOST:PORT`` or ``wss://…``."""
    peers: tuple[str, ...] = ()
    """``HOST:PORT`` of devices that discovery cannot find."""
    stun: tuple[str, ...] = ()
    """STUN servers, ``stun:HOST:PORT``."""
    turn: Turn = field(default_factory=Turn)
    """Servers that pass everything on where no direct path is found."""
    port: int = 0
    """Port of the embedded relay; 0 lets the system choose."""
    max_pause: float = DEFAULT_MAX_PAUSE
    """Seconds."""
    keep_generations: int = DEFAULT_GENERATIONS
    """Earlier states of a session that stay on this device for ``undo``; 0 keeps none."""
    resume: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Per kind the argv that runs after an arrival; ``{path}`` is the only thing filled in."""
    policy: General = field(default_factory=General)
    """What linked devices may do that have no table of their own."""
    device: Mapping[str, Table] = field(default_factory=dict)
    """What single devices may do, by name or beginning of an id."""


def load(home: Path) -> Settings:
    """The settings of a home; defaults where the file or a key is absent.

    Raises:
        UsageError: The file is not TOML, or a key or value is wrong; names the line.
    """
    path = home / CONFIG_NAME
    document = read(text_of(path))
    if document.mistakes:
        raise complaint(path, document.mistakes)
    return settings_of(document)


def text_of(path: Path) -> str:
    """What a settings file says; nothing where there is none.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


def settings_of(document: Document) -> Settings:
    """The settings that a document without mistakes makes."""
    values = document.values
    plain = {path[0]: value for path, value in values.items() if len(path) == 1}
    names = dict.fromkeys(path[1] for path in values if path[0] == "device")
    return replace(
        Settings(name=default_name()),
        **plain,
        turn=Turn(**_below(values, ("turn",))),
        resume=_below(values, ("resume",)),
        policy=General(_table(values, ("policy", "own")), _table(values, ("policy", "other"))),
        device={name: _table(values, ("device", name)) for name in names},
    )


def credential_path(settings: Settings, home: Path) -> Path:
    """The file with the password for TURN servers."""
    return settings.turn.credential_file or home / CREDENTIAL_NAME


def default_name() -> str:
    """The first label of the host's name."""
    return socket.gethostname().split(".")[0] or "device"


def _table(values: Mapping[KeyPath, Any], path: KeyPath) -> Table:
    kinds = {kind: _rule(values, (*path, kind)) for kind in KINDS}
    return Table(_rule(values, path), {kind: rule for kind, rule in kinds.items() if rule != Rule()})


def _rule(values: Mapping[KeyPath, Any], path: KeyPath) -> Rule:
    said = _below(values, path)
    into = {"into": str(said["into"])} if "into" in said else {}
    return Rule(**{**said, **into})


def _below(values: Mapping[KeyPath, Any], path: KeyPath) -> dict[str, Any]:
    """The keys right in one table."""
    return {key[-1]: value for key, value in values.items() if key[:-1] == path}
