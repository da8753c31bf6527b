# SPDX-License-Identifier: Apache-2.0
"""What becomes of the secrets that are found in a part before it leaves, and of parts that stay. Layer: session, pure.

Specification: docs/specs/secrets.md §4. To an own device everything goes, and is listed. From somebody else's a
file with a secret is kept back, unless the user lets it go: it is left out of the part, and listed as held here. What
another device keeps back stays out wherever the part goes, until it is on that device again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from p2p_handoff.content.objects import EMPTY
from p2p_handoff.errors import SecretsError
from p2p_handoff.ids import DeviceId, PartId
from p2p_handoff.limits import MAX_SECRET_PATH, MAX_SECRETS
from p2p_handoff.session.manifest import Manifest, Part, Secret

WHOLE: Final = b""
"""The path of a part that is kept back as a whole."""
_GIT: Final = b".git"

Found = Iterable[tuple[bytes, Iterable[str]]]
"""Paths within a part and the kinds of secrets there."""


@dataclass(frozen=True, slots=True)
class Letting:
    """Which secrets may leave."""

    everything: bool = False
    paths: frozenset[bytes] = frozenset()
    """Within their parts, as they are listed: files, or a ``.git``."""

    def lets(self, path: bytes) -> bool:
        """True when what lies at a path may leave."""
        return self.everything or path in self.paths


EVERYTHING: Final = Letting(everything=True)
NOTHING: Final = Letting()


def kept_elsewhere(part: Part | None, me: DeviceId) -> tuple[Secret, ...]:
    """What other devices keep back of a part: here it is left out of every picture.

    Args:
        part: As it was last handed over; None for one that never was.
        me: This device.
    """
    secrets = part.secrets if part is not None else ()
    return tuple(secret for secret in secrets if secret.held_by not in {None, me})


def judge(found: Found, letting: Letting, me: DeviceId, elsewhere: tuple[Secret, ...] = ()) -> tuple[Secret, ...]:
    """What a part lists, sorted: what is found in it, and what of that stays here.

    Args:
        found: What the search found.
        letting: What may leave.
        me: This device.
        elsewhere: From ``kept_elsewhere``.

    Raises:
        SecretsError: More would have to be kept back than an offer can list.
    """
    absent = {secret.path for secret in elsewhere}
    listed = {(secret.path, secret.kind): secret for secret in elsewhere}
    sent: dict[tuple[bytes, str], Secret] = {}
    for path, kinds in found:
        place = unit_of(path)
        if place in absent or path in absent:
            continue
        free = letting.lets(place) or letting.lets(path)
        for kind in kinds:
            secret = Secret(path, kind) if free else Secret(place, kind, me)
            (sent if free else listed)[secret.path, kind] = secret
    if len(listed) > MAX_SECRETS or any(len(path) > MAX_SECRET_PATH for path, _ in listed):
        raise SecretsError(
            f"{len(listed)} files look as if they hold secrets, more than an offer can list",
            advice="list what need not go in .handoffignore, or send them deliberately (--include-secrets)",
        )
    # Nobody reads a longer list of what goes anyway.
    rest = sorted(key for key in sent if len(key[0]) <= MAX_SECRET_PATH and key not in listed)
    listed.update((key, sent[key]) for key in rest[: MAX_SECRETS - len(listed)])
    return tuple(listed[key] for key in sorted(listed))


def unit_of(path: bytes) -> bytes:
    """What is kept back where a secret lies at a path: a repository goes as a whole, or not at all."""
    parts = path.split(b"/")
    return b"/".join(parts[: parts.index(_GIT) + 1]) if _GIT in parts[:-1] else path


def shown_to_others(manifest: Manifest, offered: Collection[PartId]) -> Manifest:
    """A session as a device sees it that is offered some of its parts: of the others no digest and no size.

    Who guesses what a part holds could tell by its digest that he is right.
    """
    parts = (part if part.id in offered else replace(part, **_NOTHING) for part in manifest.parts)
    return replace(manifest, parts=tuple(parts))


def is_shown(part: Part) -> bool:
    """False for a part of which this manifest tells no content: no root object is empty."""
    return part.root_size > 0


_NOTHING: Final[dict[str, Any]] = {"root": EMPTY.ref, "root_size": 0, "total_bytes": 0, "items": 0}


def stays_here(part: Part) -> bool:
    """True for a part that the primary has and keeps back as a whole."""
    return part.held_by is None and is_whole(part.secrets)


def is_whole(secrets: Iterable[Secret]) -> bool:
    """True when what lists these is kept back as a whole."""
    return any(secret.path == WHOLE and secret.held_by is not None for secret in secrets)
