# SPDX-License-Identifier: Apache-2.0
"""The line document: a CRDT whose items are the exact lines of a file. Layer: session, pure.

A pycrdt (Yjs) document with one array ``lines``; every item is one line's exact bytes, terminator included. Only
the last line of a file may lack its terminator; where a merge leaves such an item in the middle, it is *shown*
with one, so that two lines never run together and every replica shows the same. A list beside the array mirrors
it, fed by the array's own change events: reading a fragmented array item by item is quadratic, the events are
linear. Specification: docs/specs/conversation.md §1-2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

from pycrdt import Array, Doc

from p2p_handoff.errors import IntegrityError, UsageError
from p2p_handoff.ids import Entropy
from p2p_handoff.limits import MAX_CRDT_UPDATE
from p2p_handoff.session.line_diff import edits

_ARRAY: Final = "lines"
_NEWLINE: Final = b"\n"
_BATCH: Final = 16
"""Inserts of one transaction: k of them cost O(k²) in pycrdt 0.14, and one transaction each costs twice as much."""
_CLIENT_ID_BITS: Final = 53
"""What JavaScript's integers, and therefore Yjs and pycrdt, can hold."""
EMPTY_STATE: Final = b"\x00"
"""The state vector of a document that has seen nothing."""


def new_client_id(entropy: Entropy) -> int:
    """A fresh CRDT client id.

    One per device and per restore, never copied: two writers with one id corrupt a document silently (y-crdt #361).
    """
    return int.from_bytes(entropy(7), "big") >> (56 - _CLIENT_ID_BITS)


def split_lines(data: bytes) -> list[bytes]:
    r"""Cut at ``\n`` only, terminators kept.

    Returns:
        Lines whose concatenation is ``data``; none for no data; only the last may lack its terminator.
    """
    lines = [line + _NEWLINE for line in data.split(_NEWLINE)]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


class LineDocument:
    """The lines of one file as a CRDT.

    Make one with ``empty()``, feed it a log with ``apply()``; edit with ``replace_with()`` or ``append()``, then
    ask ``update_since()`` for what a peer lacks. After an IntegrityError the document must be thrown away.
    """

    __slots__ = ("_array", "_doc", "_items")

    def __init__(self, client_id: int) -> None:
        self._doc: Doc[Any] = Doc(client_id=client_id, allow_multithreading=True)
        self._array: Array[bytes] = self._doc.get(_ARRAY, type=Array)
        self._items: list[bytes] = []

    @classmethod
    def empty(cls, client_id: int) -> Self:
        """A document without lines.

        Args:
            client_id: Names this writer: from ``new_client_id()``.
        """
        return cls(client_id)

    def apply(self, update: bytes) -> None:
        """Take an update that another replica made.

        Args:
            update: A Yjs update (version 1 encoding).

        Raises:
            IntegrityError: It is larger than MAX_CRDT_UPDATE, malformed, or holds something other than lines.
        """
        if len(update) > MAX_CRDT_UPDATE:
            raise IntegrityError(f"a document update has {len(update)} bytes, more than {MAX_CRDT_UPDATE}")
        _check_writers(update)
        for delta in self._apply(update):
            self._follow(delta)

    def _apply(self, update: bytes) -> list[list[dict[str, Any]]]:
        """Apply to the array and return its change events."""
        deltas: list[list[dict[str, Any]]] = []
        with _contained("a document update cannot be applied"):
            subscription = self._array.observe(lambda event: deltas.append(event.delta))  # type: ignore[attr-defined]  # pycrdt types every event as its base
            self._doc.apply_update(update)
            self._array.unobserve(subscription)
        return deltas

    def _follow(self, delta: Sequence[dict[str, Any]]) -> None:
        """Repeat one change event on the mirror."""
        before, after, at = self._items, [], 0
        for step in delta:
            if "retain" in step:
                after += before[at : at + step["retain"]]
                at += step["retain"]
            elif "delete" in step:
                at += step["delete"]
            else:
                after += [_checked_item(value) for value in step["insert"]]
        self._items = after + before[at:]

    def replace_with(self, lines: Sequence[bytes]) -> None:
        """Edit the document so that it shows exactly these lines, keeping every line that stays.

        Args:
            lines: As ``split_lines()`` returns them.

        Raises:
            UsageError: A line before the last lacks its terminator, or one is empty or holds several.
        """
        _check_lines(lines)
        # Compared with terminators throughout: a tail that others follow now keeps its item, so that two devices
        # which complete the same tail do not both insert it again.
        for edit in reversed(edits([*map(_terminated, self._items)], [*map(_terminated, lines)])):
            self._splice(edit.start, edit.stop, lines[edit.new_start : edit.new_stop])
        if lines and self._items[-1] != lines[-1]:
            self._splice(len(lines) - 1, len(lines), lines[-1:])

    def append(self, data: bytes) -> None:
        """Edit the document as if ``data`` had been written to the end of its file."""
        if not data:
            return
        open_tail = self._items[-1] if self._items and not self._items[-1].endswith(_NEWLINE) else b""
        length = len(self._items)
        if open_tail and data.startswith(_NEWLINE) and len(data) > 1:  # as in replace_with: the tail keeps its item
            self._splice(length, length, split_lines(data[1:]))
        else:
            self._splice(length - bool(open_tail), length, split_lines(open_tail + data))

    def _splice(self, start: int, stop: int, lines: Sequence[bytes]) -> None:
        with _contained("a document cannot be edited"):
            if stop > start:
                del self._array[start:stop]
            for at in range(0, len(lines), _BATCH):
                with self._doc.transaction():
                    self._array[start + at : start + at] = list(lines[at : at + _BATCH])
        self._items[start:stop] = lines

    def lines(self) -> list[bytes]:
        """The lines as a file shows them; their concatenation splits into the same lines again."""
        return [*map(_terminated, self._items[:-1]), *self._items[-1:]]

    def render(self) -> bytes:
        """The file's bytes."""
        return b"".join(self.lines())

    def state_vector(self) -> bytes:
        """What this replica has seen, to be given to a peer's ``update_since()``. Deletions are not counted in it.

        Raises:
            IntegrityError: The document came from a hostile update.
        """
        with _contained("a document's state vector cannot be told"):
            return self._doc.get_state()

    def update_since(self, state: bytes = EMPTY_STATE) -> bytes:
        """Everything that a replica with that state vector lacks, and all deletions.

        Raises:
            IntegrityError: The state vector is malformed, or the document came from a hostile update.
        """
        with _contained("a document's updates since a state vector cannot be told"):
            return self._doc.get_update(state)

    def gained_since(self, state: bytes) -> bool:
        """True when lines were inserted since that state vector; deletions show in ``render()`` only.

        Raises:
            IntegrityError: The state vector is malformed.
        """
        return self.update_since(state)[0] != 0  # an update begins with its number of writers

    def __len__(self) -> int:
        return len(self._items)


@contextmanager
def _contained(what: str) -> Iterator[None]:
    """Whatever the library makes of a hostile update, at once or at a later use of the document, is a typed error."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as failure:  # pyo3's PanicException is no Exception
        raise IntegrityError(what) from failure


def _check_writers(update: bytes) -> None:
    """Refuse a forged count of writers: the library reserves a table for it before it reads on.

    An update begins with that count as a variable-length integer (lib0); each writer takes at least four bytes.
    """
    count = shift = 0
    for byte in update[:10]:
        count |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if count * 4 > len(update):
        raise IntegrityError("a document update declares more writers than it has bytes for")


def _terminated(line: bytes) -> bytes:
    return line if line.endswith(_NEWLINE) else line + _NEWLINE


def _checked_item(value: object) -> bytes:
    """An item that came from outside: one non-empty line."""
    if not isinstance(value, bytes | bytearray) or not value or _NEWLINE in value[:-1]:
        raise IntegrityError("a document update holds something other than lines")
    return bytes(value)


def _check_lines(lines: Sequence[bytes]) -> None:
    if not all(line and _NEWLINE not in line[:-1] for line in lines) or any(
        not line.endswith(_NEWLINE) for line in lines[:-1]
    ):
        raise UsageError("lines must be cut at their terminators before they become a document")
