# SPDX-License-Identifier: Apache-2.0
"""Discovery between real hosts: docs/specs/discovery.md."""

from __future__ import annotations

import time

import pytest

from p2p_handoff.discovery.publisher import ECHO_DEADLINE
from tests.network.discovery_host import PORT, ROOM, Discoverer, device_of
from tests.network.lab import Lab
from tests.network.peer import PATIENCE, Devices, link, until
from tests.network.trees import project

pytestmark = pytest.mark.network


def test_two_hosts_find_each_other_over_ipv4(lab: Lab) -> None:
    net = lab.bridge("net")
    left, right = lab.host("left", bridge=net, ipv6=False), lab.host("right", bridge=net, ipv6=False)
    with Discoverer(left, "laptop") as laptop, Discoverer(right, "desktop") as desktop:
        assert laptop.finds("desktop")["addresses"] == [right.address]
        assert desktop.finds("laptop")["addresses"] == [left.address]


def test_two_hosts_find_each_other_with_nothing_but_link_local_ipv6(lab: Lab) -> None:
    net = lab.bridge("net")
    left, right = lab.host("left", bridge=net, address=None), lab.host("right", bridge=net, address=None)
    with Discoverer(left, "laptop") as laptop, Discoverer(right, "desktop") as desktop:
        (address,) = laptop.finds("desktop")["addresses"]
        assert address.startswith("fe80::")
        assert address.endswith("%eth0")
        assert left.reaches(address, PORT)
        desktop.finds("laptop")


def test_both_families_are_offered_with_the_shared_subnet_first(lab: Lab) -> None:
    net = lab.bridge("net")
    left, right = lab.host("left", bridge=net), lab.host("right", bridge=net)
    with Discoverer(left, "laptop") as laptop, Discoverer(right, "desktop"):
        addresses = laptop.finds("desktop", lambda line: len(line["addresses"]) == 2)["addresses"]
        assert addresses[0] == right.address
        assert addresses[1].startswith("fe80::")


def test_two_agents_of_one_host_find_each_other(lab: Lab) -> None:
    host = lab.host("host", bridge=lab.bridge("net"))
    with Discoverer(host, "laptop") as laptop, Discoverer(host, "second") as second:
        assert host.address in laptop.finds("second")["addresses"]
        assert host.address in second.finds("laptop")["addresses"]


def test_two_agents_of_a_host_without_a_network_find_each_other(lab: Lab) -> None:
    host = lab.host("host")
    with Discoverer(host, "laptop") as laptop, Discoverer(host, "second") as second:
        assert laptop.finds("second")["addresses"] == ["127.0.0.1"]
        assert second.finds("laptop")["addresses"] == ["127.0.0.1"]


def test_a_device_that_says_goodbye_is_lost_within_two_seconds(lab: Lab) -> None:
    net = lab.bridge("net")
    with (
        Discoverer(lab.host("left", bridge=net), "laptop") as laptop,
        Discoverer(lab.host("right", bridge=net), "desktop") as desktop,
    ):
        laptop.finds("desktop")
        desktop.tell("close")
        begun = time.monotonic()
        laptop.loses("desktop")
        assert time.monotonic() - begun < 2


def test_a_killed_device_stays_in_sight_until_it_is_asked(lab: Lab) -> None:
    net = lab.bridge("net")
    with (
        Discoverer(lab.host("left", bridge=net), "laptop") as laptop,
        Discoverer(lab.host("right", bridge=net), "desktop") as desktop,
    ):
        laptop.finds("desktop")
        laptop.tell(f"reconfirm {device_of('desktop')}")
        assert laptop.wait(lambda line: line["event"] == "reconfirmed")["there"]
        desktop.kill()
        assert laptop.sights() == ["desktop"]
        laptop.tell(f"reconfirm {device_of('desktop')}")
        laptop.loses("desktop")


def test_a_killed_device_that_comes_back_is_found_again(lab: Lab) -> None:
    net = lab.bridge("net")
    right = lab.host("right", bridge=net)
    with Discoverer(lab.host("left", bridge=net), "laptop") as laptop:
        with Discoverer(right, "desktop"):
            laptop.finds("desktop")
        laptop.tell(f"reconfirm {device_of('desktop')}")
        laptop.loses("desktop")
        with Discoverer(right, "desktop"):
            laptop.finds("desktop")


def test_an_open_room_is_seen_by_those_already_there_and_by_a_newcomer(lab: Lab) -> None:
    net = lab.bridge("net")
    third = lab.host("third", bridge=net)
    with (
        Discoverer(lab.host("left", bridge=net), "laptop") as laptop,
        Discoverer(lab.host("right", bridge=net), "desktop") as desktop,
    ):
        assert laptop.finds("desktop")["room"] is None
        desktop.tell("announce 42")
        assert laptop.finds("desktop", lambda line: line["room"] is not None)["room"] == [ROOM, 42]
        with Discoverer(third, "tablet") as tablet:
            assert tablet.finds("desktop")["room"] == [ROOM, 42]


def test_a_room_opened_while_an_answer_is_put_off_is_what_remains_seen(lab: Lab) -> None:
    """Who asks within a second of an announcement is answered a second later: with what holds then."""
    net = lab.bridge("net")
    left, right = lab.host("left", bridge=net, ipv6=False), lab.host("right", bridge=net, ipv6=False)
    with Discoverer(left, "laptop") as laptop:
        left.drop_from(right.address)
        with Discoverer(right, "desktop") as desktop:
            desktop.tell("announce 41")
            time.sleep(0.6)  # the announcements are over, and nobody heard them
            left.accept_from(right.address)
            laptop.tell("look")
            time.sleep(0.3)  # it has asked
            desktop.tell("announce 42")
            laptop.finds("desktop", lambda line: line["room"] == [ROOM, 42])
            time.sleep(1.5)  # the answer has come
            assert laptop.rooms() == [42]


def test_an_interface_added_later_is_used_after_a_refresh(lab: Lab) -> None:
    home, office = lab.bridge("home"), lab.bridge("office")
    left = lab.host("left", bridge=home)
    with (
        Discoverer(left, "laptop", quiet=True) as laptop,
        Discoverer(lab.host("right", bridge=office), "desktop") as desktop,
    ):
        left.attach(office)
        laptop.tell("refresh")
        laptop.finds("desktop")
        told = desktop.finds("laptop")["addresses"]
        assert str(left.addresses["eth1"]) in told
        assert left.address not in told, "what it is called at home is nobody's business in the office"


def test_an_agent_started_without_a_network_finds_others_once_it_is_plugged_in(lab: Lab) -> None:
    net = lab.bridge("net")
    left = lab.host("left")
    with (
        Discoverer(left, "laptop") as laptop,
        Discoverer(lab.host("right", bridge=net), "desktop") as desktop,
    ):
        left.attach(net)
        laptop.finds("desktop")
        # The interface is up before it has its address: what counts is what is advertised in the end.
        desktop.finds("laptop", lambda line: left.address in line["addresses"])


def test_a_new_address_replaces_the_old_one_in_what_others_see(lab: Lab) -> None:
    net = lab.bridge("net")
    left, right = lab.host("left", bridge=net, ipv6=False), lab.host("right", bridge=net, ipv6=False)
    with Discoverer(left, "laptop") as laptop, Discoverer(right, "desktop"):
        old = right.address
        laptop.finds("desktop")
        # Records of one second count as one set (RFC 6762 §10.2): only older ones are replaced.
        time.sleep(1.1)
        right.drop_address("eth0")
        right.add_address("eth0", net.next_address())
        laptop.finds("desktop", lambda line: right.address in line["addresses"] and old not in line["addresses"])


def test_blocked_multicast_is_said_in_words_and_heals_by_itself(lab: Lab) -> None:
    net = lab.bridge("net")
    left = lab.host("left", bridge=net)
    left.block_multicast()
    with Discoverer(left, "laptop") as laptop, Discoverer(lab.host("right", bridge=net), "desktop"):
        assert laptop.problem() is None, "it is too early to tell"
        time.sleep(ECHO_DEADLINE + 0.5)
        assert "blocked" in (laptop.problem() or "")
        left.allow_multicast()
        laptop.finds("desktop")
        until(lambda: laptop.problem() is None or None, PATIENCE, "it hears itself again")


def test_discovery_does_not_pass_a_router_but_connections_do(lab: Lab) -> None:
    home, office = lab.bridge("home"), lab.bridge("office")
    left, right = lab.host("left", bridge=home), lab.host("right", bridge=office)
    lab.router("router", home, office)
    with Discoverer(left, "laptop") as laptop, Discoverer(right, "desktop") as desktop:
        assert left.reaches(right.address, PORT)
        assert laptop.sights() == []
        assert desktop.sights() == []


def test_the_first_link_hides_both_devices_from_others_and_the_last_unlink_shows_them_again(
    lab: Lab, devices: Devices
) -> None:
    net = lab.bridge("net")
    laptop, desktop, observer = (devices.on(lab.host(name, bridge=net)) for name in ("laptop", "desktop", "observer"))
    devices.start(laptop, desktop, observer)
    for other in (laptop, desktop):
        observer.sees(other)
    assert laptop.ask("agent", "status")["visible"] == "everyone"
    link(laptop, desktop)
    assert laptop.ask("agent", "status")["visible"] == "linked"
    until(lambda: not observer.told("peers")["peers"] or None, PATIENCE, "the observer sees nobody")
    laptop.sees(desktop)
    desktop.sees(laptop)
    laptop.hand_over(project(laptop.user / "work"), desktop)
    laptop.ask("unlink", "desktop")
    observer.sees(laptop)


def test_a_linked_device_that_was_killed_is_reached_under_the_name_that_it_has_now(lab: Lab, devices: Devices) -> None:
    net = lab.bridge("net")
    laptop, desktop = (devices.on(lab.host(name, bridge=net)) for name in ("laptop", "desktop"))
    devices.start(laptop, desktop)
    link(laptop, desktop)
    laptop.sees(desktop)
    desktop.kill_agent()
    fresh = net.next_address()
    desktop.host.add_address("eth0", fresh)
    desktop.start_agent()
    # Its old name is in sight as well: nobody said goodbye.
    until(
        lambda: fresh.partition("/")[0] in laptop.sees(desktop)["addresses"] or None, PATIENCE, "its new name is seen"
    )
    laptop.hand_over(project(laptop.user / "work"), desktop)
