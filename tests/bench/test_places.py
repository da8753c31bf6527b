# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from bench.places import Place, pair


def test_a_command_in_a_namespace_is_run_by_ip() -> None:
    assert Place("10.0.0.1", "left").argv(["true"]) == ["ip", "netns", "exec", "left", "true"]


def test_a_command_on_the_machine_itself_stays_as_it_is() -> None:
    assert Place("127.0.0.1").argv(["true"]) == ["true"]


def test_loopback_can_be_asked_for_and_is_said() -> None:
    with pair(loopback=True) as places:
        assert places.left.address == places.right.address == "127.0.0.1"
        assert places.described == "over loopback (as asked)"
