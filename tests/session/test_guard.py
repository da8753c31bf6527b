# SPDX-License-Identifier: Apache-2.0
"""What becomes of secrets before a part leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2p_handoff.content.digests import digest
from p2p_handoff.errors import SecretsError
from p2p_handoff.ids import DeviceId, PartId, SessionId
from p2p_handoff.limits import MAX_SECRET_PATH, MAX_SECRETS
from p2p_handoff.session.guard import (
    EVERYTHING,
    NOTHING,
    WHOLE,
    Letting,
    is_shown,
    is_whole,
    judge,
    kept_elsewhere,
    shown_to_others,
    stays_here,
    unit_of,
)
from p2p_handoff.session.manifest import Manifest, Part, PartType, Secret, decode_manifest, encode_manifest

ME, OTHER = DeviceId("a" * 32), DeviceId("b" * 32)
FOUND = [(b"z.pem", ["private-key"]), (b".env", ["jwt", "env-secret"])]


def part(*secrets: Secret) -> Part:
    return Part(PartId("p1"), PartType.FILES, "folder", "project", digest(b""), 0, 0, 0, secrets=secrets)


def test_everything_goes_to_an_own_device_and_is_listed_in_order() -> None:
    assert judge(FOUND, EVERYTHING, ME) == (
        Secret(b".env", "env-secret"),
        Secret(b".env", "jwt"),
        Secret(b"z.pem", "private-key"),
    )


def test_nothing_goes_to_somebody_elses() -> None:
    assert {secret.held_by for secret in judge(FOUND, NOTHING, ME)} == {ME}


def test_what_is_named_goes() -> None:
    listed = judge(FOUND, Letting(paths=frozenset({b"z.pem"})), ME)
    assert {secret.path: secret.held_by for secret in listed} == {b".env": ME, b"z.pem": None}


@pytest.mark.parametrize(
    ("path", "unit"),
    [(b".git/config", b".git"), (b"a/.git/modules/x/config", b"a/.git"), (b"a/.git", b"a/.git"), (b"a/b", b"a/b")],
)
def test_a_repository_is_one_unit(path: bytes, unit: bytes) -> None:
    assert unit_of(path) == unit
    assert judge([(path, ["jwt"])], NOTHING, ME) == (Secret(unit, "jwt", ME),)
    assert judge([(path, ["jwt"])], Letting(paths=frozenset({unit})), ME) == (Secret(path, "jwt"),)


def test_what_others_keep_back_stays_listed_as_theirs_whatever_may_leave() -> None:
    theirs, mine = Secret(b".env", "env-secret", OTHER), Secret(b"old.pem", "private-key", ME)
    known = part(theirs, Secret(b"sent", "jwt"), mine)
    assert kept_elsewhere(known, ME) == (theirs,)
    assert kept_elsewhere(None, ME) == ()
    for letting in (EVERYTHING, NOTHING):
        assert judge([(b".env", ["jwt"])], letting, ME, (theirs,)) == (theirs,)


def test_a_part_in_one_piece_stays_as_a_whole() -> None:
    kept = part(*judge([(WHOLE, ["jwt"])], NOTHING, ME))
    assert is_whole(kept.secrets)
    assert stays_here(kept)
    assert not stays_here(replace(kept, held_by=OTHER))
    assert not stays_here(part(*judge([(WHOLE, ["jwt"])], EVERYTHING, ME)))
    assert not stays_here(part(*judge([(b"x", ["jwt"])], NOTHING, ME)))


def test_more_than_an_offer_can_list_is_not_kept_back_in_silence() -> None:
    many = [(b"%05d" % number, ["jwt"]) for number in range(MAX_SECRETS + 1)]
    assert len(judge(many, EVERYTHING, ME)) == MAX_SECRETS
    assert len(judge(many[1:], NOTHING, ME)) == MAX_SECRETS
    with pytest.raises(SecretsError):
        judge(many, NOTHING, ME)
    with pytest.raises(SecretsError):
        judge([(b"x" * (MAX_SECRET_PATH + 1), ["jwt"])], NOTHING, ME)
    assert not judge([(b"x" * (MAX_SECRET_PATH + 1), ["jwt"])], EVERYTHING, ME)


def test_what_is_not_offered_shows_what_it_is_and_nothing_that_it_holds() -> None:
    offered = Part(PartId("p1"), PartType.MESSAGES, "conversation", "talk", digest(b"talk"), 4, 4, 1)
    kept = replace(offered, id=PartId("p2"), name="plans", root=digest(b"plans"), secrets=(Secret(b"a", "x", ME),))
    elsewhere = replace(kept, id=PartId("p3"), held_by=OTHER, secrets=())
    shown = shown_to_others(Manifest(SessionId("a" * 26), "Notes", (offered, kept, elsewhere)), {PartId("p1")})
    assert shown.parts[0] == offered
    for before, after in zip((kept, elsewhere), shown.parts[1:], strict=True):
        assert (after.root, after.root_size, after.total_bytes, after.items) == (digest(b""), 0, 0, 0)
        assert replace(after, root=before.root, root_size=4, total_bytes=4, items=1) == before
    assert [is_shown(part) for part in shown.parts] == [True, False, False]
    assert decode_manifest(encode_manifest(shown)) == shown
