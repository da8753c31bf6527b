# SPDX-License-Identifier: Apache-2.0
"""The sessions of this device and the real things behind their parts. Layer: agent.

Specification: docs/specs/adapters.md §1. Sessions are found here by what a person types: an id, a prefix of one, a
title, or a path. Methods that touch content block and are meant for worker threads.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.base import Adapter, OpenPart, PartPicture, Snapshot
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import EMPTY
from p2p_handoff.errors import AmbiguousError, NotFoundError, NotInPlaceError, UsageError
from p2p_handoff.ids import DeviceId, Entropy, PartId, SessionId, new_session_id
from p2p_handoff.limits import MAX_PARTS, MAX_TITLE
from p2p_handoff.security.identity import Identity
from p2p_handoff.session import chain as chains
from p2p_handoff.session.guard import is_whole, kept_elsewhere
from p2p_handoff.session.manifest import Manifest, Part, Secret, decode_manifest, encode_manifest, root_of
from p2p_handoff.session.paths import printable
from p2p_handoff.store.records import NewSession, PartBinding, SessionRecord
from p2p_handoff.store.store import Store

Snapshots = dict[PartId, PartPicture]
Look = Callable[[PartBinding, Part | None, PartPicture], tuple[Secret, ...]]
"""What a part is to list as secrets, by what is known of it and how it is now; what is held back is left out."""
StateOf = Callable[[SessionId, PartId], Path]


@dataclass(frozen=True, slots=True)
class Picture:
    """A session at one moment: what it consists of and where its content can be read."""

    manifest: Manifest
    snapshots: Snapshots


@dataclass(frozen=True, slots=True)
class _Nothing:
    """What is shown of a part that is kept back as a whole: not even a digest."""

    root: Digest = EMPTY.ref
    root_size: int = 0
    total_bytes: int = 0
    items: int = 0


_NOTHING: Final = _Nothing()


class _Screening:
    """Leaves out of one picture what is held back, and knows what it lists afterwards.

    Args:
        look: What is to be listed.
    """

    def __init__(self, look: Callable[[PartPicture], tuple[Secret, ...]]) -> None:
        self._look = look
        self.secrets: tuple[Secret, ...] = ()

    @property
    def keeps_all(self) -> bool:
        """True when nothing of the part may leave."""
        return is_whole(self.secrets)

    def __call__(self, picture: PartPicture) -> PartPicture:
        self.secrets = self._look(picture)
        left_out = {secret.path for secret in self.secrets if secret.held_by is not None}
        return picture if self.keeps_all else picture.without(left_out)


class Catalog:
    """All sessions of one agent.

    Args:
        store: The agent's database.
        identity: This device.
        adapters: By kind.
        state_of: The directory of a part's adapter state.
        entropy: Source of ids.
        clock: Unix seconds.
    """

    def __init__(
        self,
        store: Store,
        identity: Identity,
        adapters: Mapping[str, Adapter],
        state_of: StateOf,
        entropy: Entropy,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._identity = identity
        self._adapters = adapters
        self._state_of = state_of
        self._entropy = entropy
        self._clock = clock
        self._open: dict[tuple[SessionId, PartId], OpenPart] = {}
        self._turn = threading.Lock()
        self._guards: dict[SessionId, threading.RLock] = {}

    @property
    def device(self) -> DeviceId:
        """This device."""
        return self._identity.device

    # --- finding ------------------------------------------------------------------------------------

    def find(self, text: str, here: Path | None = None) -> SessionRecord:
        """The session that a person means by an id, a prefix, a title or a path.

        Args:
            text: What was typed.
            here: Where a relative path begins; this process's directory when None.

        Raises:
            NotFoundError: None fits.
            AmbiguousError: Several fit.
        """
        found = self._matching(text, here)
        if not found:
            raise NotFoundError(
                f"no session {printable(text, MAX_TITLE)!r} is on this device", advice="'handoff sessions' lists them"
            )
        if len(found) > 1:
            names = ", ".join(f"{record.title} ({record.id[:8]})" for record in found)
            raise AmbiguousError(f"{text!r} fits several sessions: {names}", advice="give more of the id")
        return found[0]

    def at_path(self, path: Path) -> SessionRecord | None:
        """The session that has a part at a path, if any."""
        for binding in self._store.sessions.at_path(path):
            return self._store.sessions.get(binding.session)
        return None

    def stopped_at(self, paths: Sequence[Path]) -> SessionRecord | None:
        """The stopped session that has all these paths, if there is one."""
        records = [self.at_path(path.expanduser().resolve()) for path in paths]
        first = records[0] if records else None
        if first is None or not first.stopped:
            return None
        return first if all(record is not None and record.id == first.id for record in records) else None

    def _matching(self, text: str, here: Path | None) -> list[SessionRecord]:
        records = self._store.sessions.all()
        by_id = [record for record in records if record.id.startswith(text.lower())] if text else []
        by_title = [record for record in records if record.title.casefold() == text.casefold()]
        place = real_place(text, here)
        at_path = self.at_path(place) if place is not None else None
        return by_title or by_id or ([at_path] if at_path else [])

    # --- starting and content -----------------------------------------------------------------------

    def start(
        self,
        paths: Sequence[Path],
        title: str | None,
        pictured: Callable[[SessionId, Snapshots], None] = lambda _session, _snapshots: None,
    ) -> SessionRecord:
        """Register real things as a new session of which this device is primary.

        Args:
            paths: Where they are.
            title: Its title; the name of the first when None.
            pictured: Given the first picture once the session is there.

        Raises:
            NotFoundError: A path does not exist.
            UsageError: No adapter takes a path, a path belongs to a session already, or lies inside another one.
        """
        if not 0 < len(paths) <= MAX_PARTS:
            raise UsageError(f"a session has between 1 and {MAX_PARTS} parts")
        resolved = [_existing(path) for path in paths]
        _check_distinct(resolved)
        session = new_session_id(self._entropy)
        bindings = tuple(self._bind(session, number, path) for number, path in enumerate(resolved, start=1))
        name = (title or resolved[0].name or "session")[:MAX_TITLE]
        picture = self.picture_of(name, bindings, {})
        new = NewSession(
            title=name,
            created_at=self._clock(),
            manifest=encode_manifest(picture.manifest),
            chain=chains.create(self._identity, session, root_of(picture.manifest)),
            bindings=bindings,
        )
        self._store.ownership.start(new)
        record = self._store.sessions.get(session)
        assert record is not None
        pictured(session, picture.snapshots)
        return record

    def picture(self, session: SessionId, *, freeze: Iterable[PartId] = (), look: Look | None = None) -> Picture:
        """A session as it is on disk now.

        Args:
            session: One of this device's sessions.
            freeze: Parts to freeze; the others are only pictured.
            look: What is listed as secrets; by default what other devices keep back.

        Raises:
            NotInPlaceError: Something of it is accepted, or decided, and not in place.
            ContentGoneError, StorageError: From an adapter, naming the part.
            SecretsError: From ``look``.
        """
        record = self._record(session)
        known = {part.id: part for part in decode_manifest(record.manifest).parts} if record.manifest else {}
        with self.guard(session):
            if self._store.is_placing(session):
                # A crash may have left the new text and the old record: that is nobody's edit.
                raise NotInPlaceError(
                    "a part of the session is still being put in place", advice="try again in a moment"
                )
            bindings = self._store.sessions.bindings(session)
            return self._picture(record.title, bindings, known, frozenset(freeze), look or self._kept_elsewhere)

    def picture_of(self, title: str, bindings: Sequence[PartBinding], known: Mapping[PartId, Part]) -> Picture:
        """What a session consists of that begins now.

        Args:
            title: Its title.
            bindings: Its parts.
            known: What is known of those that this device does not hold.

        Raises:
            ContentGoneError, StorageError: From an adapter, naming the part.
        """
        return self._picture(title, bindings, known, frozenset(), self._kept_elsewhere)

    def guard(self, session: SessionId) -> threading.RLock:
        """Held while the parts of a session are worked on: an adapter is called by one thread at a time."""
        with self._turn:
            return self._guards.setdefault(session, threading.RLock())

    def _picture(
        self,
        title: str,
        bindings: Sequence[PartBinding],
        known: Mapping[PartId, Part],
        frozen: frozenset[PartId],
        look: Look,
    ) -> Picture:
        parts: list[Part] = []
        snapshots: Snapshots = {}
        for binding in bindings:
            if binding.path is None or binding.held_by is not None:
                parts.append(_held_elsewhere(known[binding.part], binding))
                continue
            screening = _Screening(partial(look, binding, known.get(binding.part)))
            opened = self.open_part(binding)
            snapshot = opened.freeze(screening) if binding.part in frozen else screening(opened.snapshot())
            if not screening.keeps_all:
                snapshots[binding.part] = snapshot
            shown = _NOTHING if screening.keeps_all else snapshot
            parts.append(replace(part_of(binding, shown), secrets=screening.secrets))
        return Picture(Manifest(bindings[0].session, title, tuple(parts)), snapshots)

    def _kept_elsewhere(self, binding: PartBinding, known: Part | None, picture: PartPicture) -> tuple[Secret, ...]:
        del binding, picture
        return kept_elsewhere(known, self.device)

    def open_part(self, binding: PartBinding) -> OpenPart:
        """The real thing behind a part that lives on this device."""
        assert binding.path is not None
        key = (binding.session, binding.part)
        with self._turn:
            opened = self._open.get(key)
            if opened is None or opened.path != binding.path:
                adapter = self.adapter(binding.kind)
                opened = adapter.open(binding.path, self.state_dir(binding.session, binding.part))
                self._open[key] = opened
            return opened

    def check_into(self, session: SessionId, into: Path | None) -> None:
        """A session that lives on this device is updated there, and nowhere else.

        Raises:
            UsageError: A directory was given for one that does; names where it lives.
        """
        places = [str(binding.path) for binding in self.bindings(session) if is_there(binding)]
        if into is not None and places:
            raise UsageError(f"the session already lives at {', '.join(places)}", advice="leave --into away")

    def forget_open(self, session: SessionId) -> None:
        """Reopen the parts of a session at the next use: what lies under them was replaced."""
        with self._turn:
            for key in [key for key in self._open if key[0] == session]:
                del self._open[key]

    def adapter(self, kind: str) -> Adapter:
        """The adapter of a kind.

        Raises:
            UsageError: This device has none.
        """
        if kind not in self._adapters:
            raise UsageError(f"this device cannot handle parts of kind {kind!r}", advice="update it")
        return self._adapters[kind]

    def state_dir(self, session: SessionId, part: PartId) -> Path:
        """The directory of a part's adapter state; made if it is missing.

        Raises:
            StorageError: It cannot be made.
        """
        path = self._state_of(session, part)
        with beneath.typed_errors(f"make {path}"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def bindings(self, session: SessionId) -> tuple[PartBinding, ...]:
        """The parts of a session and where they are."""
        return self._store.sessions.bindings(session)

    def _record(self, session: SessionId) -> SessionRecord:
        record = self._store.sessions.get(session)
        if record is None:
            raise NotFoundError(f"no session {session[:8]} is on this device")
        return record

    def _bind(self, session: SessionId, number: int, path: Path) -> PartBinding:
        taken = self.at_path(path)
        if taken is not None:
            raise UsageError(f"{path} belongs to the session {taken.title!r} ({taken.id[:8]}) already")
        adapter = next((adapter for adapter in self._adapters.values() if adapter.claims(path)), None)
        if adapter is None:
            raise UsageError(f"{path} is neither a directory nor a .jsonl file: no adapter takes it")
        return PartBinding(session, PartId(f"p{number}"), adapter.part_type, adapter.kind, _part_name(path), path)


def is_there(binding: PartBinding) -> bool:
    """Whether a part has a place on this device that still exists."""
    return binding.path is not None and binding.path.exists()


def real_place(text: str | Path, here: Path | None = None) -> Path | None:
    """What a person typed as an absolute path without links; None for a text that cannot be a path on this device.

    Args:
        text: What was typed.
        here: Where a relative path begins; this process's directory when None.
    """
    if not str(text):
        return None
    try:
        place = ((here or Path()) / Path(text).expanduser()).resolve()
        place.exists()  # The kernel, too, has names that it does not take.
    except (OSError, ValueError, RuntimeError):
        return None
    return place


def _existing(path: Path) -> Path:
    place = real_place(path)
    if place is None or not place.exists():
        raise NotFoundError(f"{printable(str(path), MAX_TITLE)} does not exist")
    return place


def _held_elsewhere(part: Part, binding: PartBinding) -> Part:
    """A part that is not here: what was sent of its secrets concerns nobody who does not get it."""
    secrets = tuple(secret for secret in part.secrets if secret.held_by is not None)
    return replace(part, held_by=binding.held_by, secrets=secrets)


def part_of(binding: PartBinding, snapshot: Snapshot | _Nothing) -> Part:
    """A part as a picture shows it."""
    return Part(
        id=binding.part,
        type=binding.type,
        kind=binding.kind,
        name=binding.name,
        root=snapshot.root,
        root_size=snapshot.root_size,
        total_bytes=snapshot.total_bytes,
        items=snapshot.items,
    )


def _check_distinct(paths: Sequence[Path]) -> None:
    for number, path in enumerate(paths):
        for other in paths[number + 1 :]:
            if path == other or path in other.parents or other in path.parents:
                raise UsageError(f"{path} and {other} overlap: a session's parts must lie side by side")


def _part_name(path: Path) -> str:
    """The base name as valid text: a manifest cannot hold the bytes of a name that is not UTF-8."""
    return os.fsencode(path.name or "root").decode("utf-8", errors="replace")
