# SPDX-License-Identifier: Apache-2.0
"""How a candidate pair is told."""

from __future__ import annotations

import pytest

from p2p_handoff.engines.base import PathKind
from p2p_handoff.engines.paths import path_kind, transport_address


@pytest.mark.parametrize(
    ("local", "remote", "kind"),
    [
        ("host", "host", PathKind.HOST),
        ("host", "prflx", PathKind.REFLEXIVE),
        ("relay", "srflx", PathKind.RELAYED),
        ("host", "", PathKind.UNKNOWN),
    ],
)
def test_a_pair_is_as_direct_as_its_less_direct_side(local: str, remote: str, kind: PathKind) -> None:
    assert path_kind(local, remote) is kind
    assert path_kind(remote, local) is kind


def test_loopback_is_direct_whatever_ice_calls_it() -> None:
    assert path_kind("host", "prflx", "192.0.2.7", "127.0.0.1") is PathKind.HOST
    assert path_kind("host", "prflx", "192.0.2.7", None) is PathKind.REFLEXIVE


def test_addresses_are_written_with_their_port() -> None:
    assert transport_address("192.0.2.7", 80) == "192.0.2.7:80"
    assert transport_address("2001:db8::1", 80) == "[2001:db8::1]:80"
    assert transport_address(None, 80) == ""
