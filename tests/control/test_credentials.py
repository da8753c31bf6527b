# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import socket

import pytest

from p2p_handoff.control import credentials
from p2p_handoff.control.credentials import check_peer, peer_uid
from p2p_handoff.errors import TrustError


def test_the_kernel_names_this_user() -> None:
    one, two = socket.socketpair()
    with one, two:
        assert peer_uid(one) == os.geteuid()
        check_peer(two)


def test_a_socket_without_a_user_behind_it_is_refused() -> None:
    with socket.socket() as lonely, pytest.raises(TrustError):
        check_peer(lonely)


def test_the_user_is_found_in_what_macos_returns() -> None:
    # struct xucred: version 0, uid 501, one group, padding.
    raw = bytes.fromhex("00000000 f5010000 0100 0000") + bytes(64)
    assert credentials._uid_of_xucred(raw) == 501
