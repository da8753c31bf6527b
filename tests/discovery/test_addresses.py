# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ipaddress import ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.discovery.addresses import MAX_ADDRESSES, Interface, advertised, dialable

LO = Interface(1, "lo", (ip_interface("127.0.0.1/8"),))
ETH = Interface(2, "eth0", (ip_interface("192.168.1.5/24"), ip_interface("fe80::5/64"), ip_interface("fd00:1::5/64")))
WLAN = Interface(3, "wlan0", (ip_interface("10.9.0.5/16"), ip_interface("fe80::6/64")))


def test_the_shared_subnet_comes_first_and_link_local_last() -> None:
    claimed = ["fe80::1%2", "2001:db8:9::1", "172.16.0.1", "fd00:1::1", "192.168.1.9", "8.8.8.8", "169.254.1.1"]
    assert dialable(claimed, [ETH]) == (
        "fd00:1::1",
        "192.168.1.9",
        "172.16.0.1",
        "2001:db8:9::1",
        "8.8.8.8",
        "fe80::1%eth0",
        "169.254.1.1",
    )


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "::", "224.0.0.251", "ff02::fb", "255.255.255.255", "240.0.0.1", "nonsense", "", "1.2.3.4/8"]
)
def test_what_is_no_unicast_address_is_left_out(address: str) -> None:
    assert dialable([address], [ETH]) == ()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_a_peer_on_the_network_cannot_send_us_to_ourselves(address: str) -> None:
    assert dialable([address], [ETH]) == ()


def test_loopback_counts_while_there_is_nothing_else() -> None:
    assert dialable(["127.0.0.1"], [LO]) == ("127.0.0.1",)


@pytest.mark.parametrize(("claimed", "dialled"), [("fe80::1%3", "fe80::1%wlan0"), ("fe80::1%eth0", "fe80::1%eth0")])
def test_a_zone_becomes_the_interfaces_name(claimed: str, dialled: str) -> None:
    assert dialable([claimed], [ETH, WLAN]) == (dialled,)


def test_a_zone_of_no_interface_is_left_out() -> None:
    assert dialable(["fe80::1%9"], [ETH, WLAN]) == ()


def test_a_missing_zone_is_the_only_interface() -> None:
    assert dialable(["fe80::1"], [WLAN]) == ("fe80::1%wlan0",)


def test_a_missing_zone_is_the_interface_whose_subnet_the_peer_is_in() -> None:
    assert dialable(["10.9.0.7", "fe80::1"], [ETH, WLAN]) == ("10.9.0.7", "fe80::1%wlan0")


def test_a_missing_zone_that_could_be_either_is_left_out() -> None:
    assert dialable(["fe80::1"], [ETH, WLAN]) == ()
    assert dialable(["10.9.0.7", "192.168.1.7", "fe80::1"], [ETH, WLAN]) == ("10.9.0.7", "192.168.1.7")


def test_a_flood_of_addresses_is_cut_to_the_best() -> None:
    flood = [f"8.8.{high}.{low}" for high in range(4) for low in range(1, 255)]
    kept = dialable([*flood, "192.168.1.9"], [ETH])
    assert kept[0] == "192.168.1.9"
    assert len(kept) == MAX_ADDRESSES


@given(st.lists(st.ip_addresses().map(str) | st.text(max_size=40), max_size=30))
def test_whatever_is_claimed_the_result_is_distinct_and_bounded(claimed: list[str]) -> None:
    kept = dialable(claimed, [ETH, WLAN])
    assert len(kept) == len(set(kept)) <= MAX_ADDRESSES
    assert dialable(kept, [ETH, WLAN]) == kept


def test_each_address_is_advertised_once_and_without_a_zone() -> None:
    twin = Interface(4, "eth1", (ip_interface("192.168.1.5/24"), ip_interface("fe80::5%eth1/64")))
    assert advertised([ETH, twin]) == ("192.168.1.5", "fe80::5", "fd00:1::5")


def test_mdns_is_spoken_from_the_link_local_address() -> None:
    mixed = Interface(5, "eth2", (ip_interface("fd00::1/64"), ip_interface("fe80::9/64")))
    assert str(mixed.ipv6[0].ip) == "fe80::9"
