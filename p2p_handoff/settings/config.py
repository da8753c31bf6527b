# SPDX-License-Identifier: Apache-2.0
"""The settings of an agent: one TOML file in its home. Layer: I/O ring. Specification: docs/configuration.md."""

from __future__ import annotations

import socket
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from p2p_handoff.errors import UsageError

CONFIG_NAME: Final = "config.toml"
DEFAULT_MAX_PAUSE: Final = 0.3
"""Seconds a source may be frozen before the target can act (QEMU's default downtime limit is the same)."""

DEFAULT_GENERATIONS: Final = 5
"""A working week of handoffs to and fro."""
MAX_GENERATIONS: Final = 1000
"""More than anybody looks through; each costs what changed."""
VISIBLE: Final = ("auto", "everyone", "linked", "nobody")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user can choose. Every field has the same name in ``config.toml``."""

    name: str
    """Display name of this device."""
    handoff: bool = True
    """False switches handoff off: nothing is offered or accepted."""
    engine: str = "auto"
    """``auto``, ``aiortc`` or ``wrtc``."""
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
    """STUN and TURN servers, ``stun:HOST:PORT``."""
    port: int = 0
    """Port of the embedded relay; 0 lets the system choose."""
    max_pause: float = DEFAULT_MAX_PAUSE
    """Seconds."""
    keep_generations: int = DEFAULT_GENERATIONS
    """Earlier states of a session that stay on this device for ``undo``; 0 keeps none."""
    resume: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Per kind the argv that runs after an arrival; ``{path}`` is the only thing filled in."""


def load(home: Path) -> Settings:
    """The settings of a home; defaults where the file or a key is absent.

    Raises:
        UsageError: The file is not TOML, or a value has the wrong type; names the key.
    """
    defaults = Settings(name=default_name())
    path = home / CONFIG_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return defaults
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: a number may have too many digits
        raise UsageError(f"{path} is not valid TOML: {error}", advice="mend the line it names") from None
    return replace(defaults, **{key: _checked(path, key, value) for key, value in table.items()})


def default_name() -> str:
    """The first label of the host's name."""
    return socket.gethostname().split(".")[0] or "device"


def _checked(path: Path, key: str, value: Any) -> Any:
    check = _CHECKS.get(key)
    if check is None:
        raise UsageError(f"{path}: unknown setting {key!r}", advice=f"known are {', '.join(_CHECKS)}")
    try:
        return check(value)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: ~ of a user that there is not
        raise UsageError(f"{path}: {key}: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("must be a text")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("must be true or false")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("must be a list of texts")
    return tuple(_text(item) for item in value)


def _engine(value: Any) -> str:
    if value not in ("auto", "aiortc", "wrtc"):
        raise ValueError("must be auto, aiortc or wrtc")
    return str(value)


def _visible(value: Any) -> str:
    if value not in VISIBLE:
        raise ValueError(f"must be one of {', '.join(VISIBLE)}")
    return str(value)


def _directory(value: Any) -> Path:
    path = Path(_text(value)).expanduser()
    if not path.is_absolute():
        raise ValueError("must be an absolute path or begin with ~")
    return path


def _port(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 65535:
        raise ValueError("must be a port number")
    return value


def _seconds(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 60:
        raise ValueError("must be seconds, above 0 and at most 60")
    return float(value)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_GENERATIONS:
        raise ValueError(f"must be a number between 0 and {MAX_GENERATIONS}")
    return value


def _resume(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise TypeError("must be a table of kinds")
    return {str(kind): _texts(argv) for kind, argv in value.items()}


_CHECKS: Final = {
    "name": _text,
    "handoff": _boolean,
    "engine": _engine,
    "receive_dir": _directory,
    "mdns": _boolean,
    "visible": _visible,
    "relays": _texts,
    "peers": _texts,
    "stun": _texts,
    "port": _port,
    "max_pause": _seconds,
    "keep_generations": _count,
    "resume": _resume,
}
