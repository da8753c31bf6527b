# SPDX-License-Identifier: Apache-2.0
"""What is remembered of others; how discovery uses it is tested in test_mdns.py."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from zeroconf import IPVersion, current_time_millis
from zeroconf._dns import DNSPointer, DNSRecord, DNSService, DNSText
from zeroconf._protocol.outgoing import DNSOutgoing

from p2p_handoff.discovery.announcement import SERVICE_TYPE
from p2p_handoff.discovery.records import Records
from p2p_handoff.discovery.responder import LocalResponder

NAME = f"study.{SERVICE_TYPE}"
OTHER = f"attic.{SERVICE_TYPE}"
TTL = 120


def pointer(name: str = NAME) -> DNSRecord:
    return DNSPointer(SERVICE_TYPE, 12, 1, TTL, name)


def text(content: bytes, *, age: float = 0.0, ttl: int = TTL, name: str = NAME) -> DNSRecord:
    """A TXT record that was heard so many seconds ago."""
    return DNSText(name, 16, 1, ttl, content, current_time_millis() - 1000 * age)


def service(port: int, *, age: float = 0.0) -> DNSRecord:
    return DNSService(NAME, 33, 1, TTL, 0, 0, port, "study.local.", current_time_millis() - 1000 * age)


@pytest.fixture
async def zeroconf() -> AsyncIterator[LocalResponder]:
    """One that speaks and hears nowhere."""
    made = LocalResponder(IPVersion.V4Only)
    await made.async_wait_for_start()
    yield made
    await made._async_close()


def remembered(zeroconf: LocalResponder, name: str = NAME) -> list[DNSRecord]:
    return zeroconf.cache.entries_with_name(name)


async def test_what_was_heard_last_is_kept_in_whatever_order_it_is_remembered(zeroconf: LocalResponder) -> None:
    old, new = text(b"\x03old", age=0.9), text(b"\x03new")
    zeroconf.cache.async_add_records([new, old, service(2), service(1, age=0.5)])
    Records(zeroconf).weed(NAME)
    assert remembered(zeroconf) == [new, service(2)]


async def test_what_is_to_go_in_a_second_goes_first(zeroconf: LocalResponder) -> None:
    """A record that was replaced is marked at that moment, so that it looks as young as the new one."""
    zeroconf.cache.async_add_records([text(b"\x03new", age=0.2), text(b"\x03old", ttl=1)])
    Records(zeroconf).weed(NAME)
    assert remembered(zeroconf) == [text(b"\x03new")]


async def test_one_instance_is_forgotten_and_its_neighbour_is_not(zeroconf: LocalResponder) -> None:
    neighbour = text(b"\x03say", name=OTHER)
    zeroconf.cache.async_add_records([pointer(), pointer(OTHER), text(b"\x03say"), service(1), neighbour])
    records = Records(zeroconf)
    assert 0 < records.lifetime(NAME) <= TTL
    records.forget(NAME)
    assert remembered(zeroconf) == []
    assert records.lifetime(NAME) == 0
    assert remembered(zeroconf, OTHER) == [neighbour]
    assert records.instances() == (NAME, OTHER)


async def test_who_is_lost_is_new_when_heard_again(zeroconf: LocalResponder) -> None:
    zeroconf.cache.async_add_records([pointer(), pointer(OTHER)])
    records = Records(zeroconf)
    records.lose(NAME, "nobody")
    assert records.instances() == (OTHER,)


async def test_the_question_to_everybody_names_nobody(
    zeroconf: LocalResponder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[DNSOutgoing] = []
    monkeypatch.setattr(zeroconf, "async_send", sent.append)
    zeroconf.cache.async_add_records([pointer(), text(b"\x03say"), service(1)])
    Records(zeroconf).ask_all()
    (question,) = sent
    (data,) = question.packets()
    assert [asked.name for asked in question.questions] == [SERVICE_TYPE]
    assert (question.answers, question.authorities, question.additionals) == ([], [], [])
    assert b"study" not in data
    assert remembered(zeroconf) == [service(1)], "what it says is news when it is heard again"
