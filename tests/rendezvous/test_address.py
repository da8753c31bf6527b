# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from p2p_handoff.errors import UsageError
from p2p_handoff.rendezvous.address import parse_relay_url


@pytest.mark.parametrize(
    ("text", "url", "label"),
    [
        ("ws://192.0.2.7:8787/v1", "ws://192.0.2.7:8787/v1", "192.0.2.7:8787"),
        ("ws://192.0.2.7:8787", "ws://192.0.2.7:8787/v1", "192.0.2.7:8787"),
        ("wss://Relay.Example/", "wss://relay.example/v1", "relay.example:443"),
        ("wss://relay.example/deep/v1", "wss://relay.example/deep/v1", "relay.example:443"),
        ("ws://[2001:db8::1]:8787/v1", "ws://[2001:db8::1]:8787/v1", "[2001:db8::1]:8787"),
        ("ws://[fe80::1%25eth0]:8787/v1", None, "[fe80::1]:8787"),
        ("ws://localhost/v1", "ws://localhost/v1", "localhost:80"),
    ],
)
def test_a_relay_address_has_a_url_and_a_label(text: str, url: str | None, label: str) -> None:
    address = parse_relay_url(text)
    assert address.label == label
    assert url is None or str(address.url) == url


def test_an_escaped_zone_is_given_to_the_system_as_it_understands_it() -> None:
    assert parse_relay_url("ws://[fe80::1%25eth0]:8787/v1").url.raw_host == "fe80::1%eth0"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "relay.example",
        "http://relay.example",
        "ws://",
        "ws:///v1",
        "ws://user:secret@relay.example",
        "ws://relay.example/v1?x=1",
        "ws://relay.example/v1#x",
        "ws://relay.example:notaport",
        "ws://relay.example:99999",
        "ws://[::1",
    ],
)
def test_anything_else_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_relay_url(text)
