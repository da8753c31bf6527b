# SPDX-License-Identifier: Apache-2.0
"""What resembles a wanted object: described where few are wanted, patched, and asked for again where that fails."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest
import zstandard

from p2p_handoff.adapters.base import Staging, Want
from p2p_handoff.agent import likeness
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.likeness import FEW, Likeness
from p2p_handoff.agent.serving import Server
from p2p_handoff.agent.wire import Wire
from p2p_handoff.content import patches, strict_cbor
from p2p_handoff.content.compression import Encoding
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.errors import IntegrityError
from p2p_handoff.limits import CHUNK_MIN, KIB
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.records import ObjectRecord
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.manifest import PartType
from p2p_handoff.session.policy import General, Rule, Table, Verdict
from tests.agent.devices import Devices, Pair, fill, introduce, tree
from tests.protocol.grants import TXN

NOISE = random.Random(4).randbytes(2_000_000)
OLD, NEW = NOISE[:50_000], NOISE[:20_000] + b"an edit" + NOISE[20_007:50_000]
WANT = Want(digest(NEW), len(NEW))


class _Shelf:
    """Only what a likeness asks of a staging; the real ones are in the tests of adapters."""

    def __init__(self, known: Mapping[Digest, bytes]) -> None:
        self.known = known
        self.read = 0

    def resembling(self, names: Collection[Digest]) -> Iterator[tuple[Digest, bytes]]:
        for name in names:
            if name in self.known:
                self.read += 1
                yield name, self.known[name]


def a_staging(known: Mapping[Digest, bytes]) -> Staging:
    return cast("Staging", _Shelf(known))


def studied(*wants: Want, known: Mapping[Digest, bytes]) -> Likeness:
    found = Likeness()
    found.study(a_staging(known), wants)
    return found


def patch_for(found: Likeness, data: bytes) -> ObjectRecord:
    _, [sketch] = found.described([digest(data)])
    payload = patches.make(data, sketch)
    assert payload is not None
    return ObjectRecord(TXN, digest(data), Encoding.PATCH, payload)


def test_what_is_described_is_asked_for_first() -> None:
    found = studied(WANT, known={WANT.digest: OLD})
    others = [digest(b"one"), digest(b"two")]
    names, sketches = found.described([others[0], WANT.digest, others[1]])
    assert names == (WANT.digest, *others)
    assert len(sketches) == 1


def test_a_patch_makes_the_object() -> None:
    found = studied(WANT, known={WANT.digest: OLD})
    assert found.unpack(patch_for(found, NEW), len(NEW)) == NEW
    assert found.described([WANT.digest]) == ((WANT.digest,), ())


def test_what_comes_whole_is_taken_as_ever() -> None:
    found = studied(WANT, known={WANT.digest: OLD})
    assert found.unpack(ObjectRecord(TXN, WANT.digest, Encoding.RAW, NEW), len(NEW)) == NEW


@pytest.mark.parametrize("wrong", ["junk", "another", "too long"])
def test_a_patch_that_fails_is_asked_for_once_more_and_no_patch_is_taken_then(wrong: str) -> None:
    found = studied(WANT, known={WANT.digest: OLD})
    good = patch_for(found, NEW)
    payload = {"junk": b"junk", "another": patches.make(OLD, patches.sketched(OLD).sketch)}.get(wrong, good.payload)  # type: ignore[union-attr]  # a base
    assert payload is not None
    limit = 100 if wrong == "too long" else len(NEW)
    assert found.unpack(ObjectRecord(TXN, WANT.digest, Encoding.PATCH, payload), limit) is None
    assert found.described([WANT.digest]) == ((WANT.digest,), ())
    with pytest.raises(IntegrityError, match="unknown encoding"):
        found.unpack(good, len(NEW))


def test_where_many_are_wanted_nothing_is_looked_at() -> None:
    many = [Want(digest(b"%d" % number), 50_000) for number in range(FEW + 1)]
    shelf = _Shelf({want.digest: OLD for want in many})
    found = Likeness()
    found.study(cast("Staging", shelf), many)
    assert shelf.read == 0
    found.begin()
    found.study(cast("Staging", shelf), many[:1])
    found.study(cast("Staging", shelf), many[1:])
    assert shelf.read == 1, "they count together"


def test_what_is_small_is_not_described() -> None:
    assert studied(Want(WANT.digest, KIB - 1), known={WANT.digest: OLD})._bases == {}


def test_bases_are_bounded_and_answers_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "_MAX_BASES", 2 * len(OLD))
    wants = [Want(digest(b"%d" % number), 50_000) for number in range(3)]
    staging = a_staging({want.digest: OLD for want in wants})
    found = Likeness()
    found.study(staging, wants)
    assert list(found._bases) == [want.digest for want in wants[:2]]
    found.forget(wants[0].digest)
    found.forget(digest(b"never described"))
    found.study(staging, wants[2:])
    assert list(found._bases) == [want.digest for want in wants[1:]]


# --- whole handoffs ---------------------------------------------------------------------------------


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every sketch that reaches a source."""
    found: list[bytes] = []
    want = Server.want

    def listening(self: Server, wire: Wire, message: msg.Want) -> None:
        found.extend(message.sketches)
        want(self, wire, message)

    monkeypatch.setattr(Server, "want", listening)
    return found


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop with one long file."""
    return fill(devices.path("laptop", "project"), {"long": NOISE, "notes.md": b"# Notes\n"})


async def handed_over_and_edited(laptop: Agent, desktop: Agent, folder: Path) -> Path:
    """The folder, at the desktop, with an edit in its long file."""
    assert (await laptop.to(desktop.name, folder)).outcome == "done"
    [there] = (binding.path for binding in desktop.catalog.bindings(desktop.sessions()[0].id))
    assert there is not None
    with (there / "long").open("r+b") as opened:
        opened.seek(1_000_000)
        opened.write(b"an edit" * 140)
    return there


async def test_a_small_edit_comes_back_as_a_patch(two_agents: Pair, folder: Path, described: list[bytes]) -> None:
    laptop, desktop = two_agents
    there = await handed_over_and_edited(laptop, desktop, folder)
    report = await desktop.to("laptop", there)
    assert report.outcome == "done"
    assert tree(folder) == tree(there)
    assert described
    assert report.sent_bytes < CHUNK_MIN, "less than the smallest chunk"


def _bomb(*steps: object) -> bytes:
    return zstandard.ZstdCompressor().compress(strict_cbor.encode(list(steps)))


@pytest.mark.parametrize("lie", [b"?", b"junk", _bomb(*([[0, 1]] * 8000)), _bomb(bytes(4_000_000))])
async def test_a_patch_that_makes_something_else_costs_the_object_and_nothing_else(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch, lie: bytes
) -> None:
    laptop, desktop = two_agents
    there = await handed_over_and_edited(laptop, desktop, folder)
    make, tried = patches.make, 0

    def wrong(data: bytes, sketch: bytes) -> bytes | None:
        nonlocal tried
        if not sketch:
            return None
        tried += 1
        return make(data[:-1] + lie, sketch) if lie == b"?" else lie

    monkeypatch.setattr(patches, "make", wrong)
    report = await desktop.to("laptop", there)
    assert report.outcome == "done"
    assert tree(folder) == tree(there)
    assert 0 < tried < 10
    assert report.sent_bytes > CHUNK_MIN


ACCEPTED = General(other=Table(Rule(push=Verdict.ACCEPT)))


async def test_somebody_elses_device_is_told_nothing(devices: Devices, folder: Path, described: list[bytes]) -> None:
    pair = Pair(await devices.start("laptop", policy=ACCEPTED), await devices.start("desktop", policy=ACCEPTED))
    introduce(*pair, LinkKind.OTHER)
    there = await handed_over_and_edited(*pair, folder)
    assert (await pair.desktop.to("laptop", there)).outcome == "done"
    assert tree(folder) == tree(there)
    assert described == []


async def test_a_device_to_which_the_part_may_not_leave_is_told_nothing(
    devices: Devices, two_agents: Pair, folder: Path, described: list[bytes]
) -> None:
    there = await handed_over_and_edited(*two_agents, folder)
    await devices.stop("laptop")
    kept = General(own=Table(Rule(may_leave=frozenset({PartType.MESSAGES}))))
    await devices.start("laptop", policy=kept)
    assert (await two_agents.desktop.to("laptop", there)).outcome == "done"
    assert tree(folder) == tree(there)
    assert described == []
