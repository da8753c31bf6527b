# SPDX-License-Identifier: Apache-2.0
"""Requests wait for a person, by token, and not for ever."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from dataclasses import replace

import pytest

from p2p_handoff import AmbiguousError, NotFoundError
from p2p_handoff.agent.events import Events
from p2p_handoff.agent.report import LISTED_BYTES
from p2p_handoff.agent.requests import Consent, IncomingRequest, Refusal, RequestBook
from p2p_handoff.ids import TOKEN_LENGTH, DeviceId, SessionId, Token, TxnId
from p2p_handoff.protocol.messages import RejectReason


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def book(events: Events) -> RequestBook:
    return RequestBook(events, os.urandom)


def request(token: str, seconds: float = 5.0) -> IncomingRequest:
    return IncomingRequest(
        token=Token(token),
        device=DeviceId("d" * 32),
        peer="laptop",
        session=SessionId("s" * 26),
        title="work",
        parts=(),
        expires_at=asyncio.get_running_loop().time() + seconds,
        txn=TxnId("t" * 26),
    )


async def test_an_answer_reaches_the_one_who_asked(book: RequestBook) -> None:
    asking = asyncio.create_task(book.ask(request("aaaaaaaa")))
    await asyncio.sleep(0)
    yes = Consent(frozenset({"files"}))
    assert book.answer("aaaaaaaa", yes).token == "aaaaaaaa"
    assert await asking == yes
    assert not book.pending()


async def test_without_a_token_the_only_request_is_meant(book: RequestBook) -> None:
    with pytest.raises(NotFoundError, match="no request is pending"):
        book.find(None)
    asking = asyncio.create_task(book.ask(request("aaaaaaaa")))
    await asyncio.sleep(0)
    book.answer(None, Refusal())
    assert await asking == Refusal()


async def test_several_requests_need_a_token_and_a_prefix_will_do(book: RequestBook) -> None:
    asking = [asyncio.create_task(book.ask(request(token))) for token in ("abaaaaaa", "abbbbbbb")]
    await asyncio.sleep(0)
    assert [item.token for item in book.pending()] == ["abaaaaaa", "abbbbbbb"]
    for token in (None, "ab"):
        with pytest.raises(AmbiguousError, match="several requests"):
            book.find(token)
    assert book.find("ABB").token == "abbbbbbb"
    with pytest.raises(NotFoundError, match="has the token 'x'"):
        book.find("x")
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert not book.pending()


async def test_the_first_answer_counts(book: RequestBook) -> None:
    asking = asyncio.create_task(book.ask(request("aaaaaaaa")))
    await asyncio.sleep(0)
    book.answer(None, Refusal(text="first"))
    book.answer(None, Consent())
    assert await asking == Refusal(text="first")


async def test_a_request_that_nobody_answers_expires(book: RequestBook) -> None:
    answer = await book.ask(request("aaaaaaaa", seconds=0.01))
    assert isinstance(answer, Refusal)
    assert answer.reason is RejectReason.EXPIRED


async def test_listeners_hear_of_a_request_and_of_its_end(book: RequestBook, events: Events) -> None:
    heard: list[tuple[str, str]] = []
    events.subscribe(lambda name, fields: heard.append((name, fields["token"])))
    await book.ask(request("aaaaaaaa", seconds=0.01))
    assert heard == [("request", "aaaaaaaa"), ("request-closed", "aaaaaaaa")]


async def test_seconds_left_are_shown_and_never_negative(book: RequestBook) -> None:
    item = request("aaaaaaaa", seconds=60)
    assert item.as_json(item.expires_at - 60)["expires_in"] == 60
    assert item.as_json(item.expires_at + 5)["expires_in"] == 0


async def test_a_list_longer_than_a_line_of_the_local_socket_is_cut_and_what_is_left_out_counted() -> None:
    secrets = [{"path": f"{number}{'x' * 4000}", "kind": "token"} for number in range(1000)]
    shown = replace(request("aaaaaaaa"), secrets=lambda: secrets).as_json(0.0)
    assert 0 < len(json.dumps(shown)) < LISTED_BYTES + 1000
    assert shown["secrets"] == secrets[: len(shown["secrets"])]
    assert len(shown["secrets"]) + shown["more_secrets"] == 1000


async def test_a_token_is_never_given_twice_at_a_time(events: Events) -> None:
    draws = itertools.chain([b"\0" * 5] * 3, itertools.repeat(b"\1" * 5))
    book = RequestBook(events, lambda _count: next(draws))
    first = book.new_token()
    asking = asyncio.create_task(book.ask(request(first)))
    await asyncio.sleep(0)
    second = book.new_token()
    assert first != second
    assert len(second) == TOKEN_LENGTH
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
