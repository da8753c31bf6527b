# SPDX-License-Identifier: Apache-2.0
"""Scenarios of narrow paths, IPv6 alone, relays that restart, clocks that are wrong and devices that stand still."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.network.faults import Faults
from tests.network.lab import Host
from tests.network.partitions import half_way
from tests.network.peer import HANDOFF, Answer, Peer, start_relay
from tests.network.stage import PATIENCE, Stage

MTU = 1280
"""The smallest that IPv6 allows (RFC 8200 §5)."""


def narrow_interfaces(stage: Stage) -> Answer:
    """Both devices know that packets are short."""
    stage.on_one_network()
    for peer in (stage.laptop, stage.desktop):
        peer.host.run(["ip", "link", "set", "eth0", "mtu", str(MTU)])
    stage.session()
    return stage.pushed()


def narrow_router(stage: Stage) -> Answer:
    """A router on the way says when a packet is too long for its next link."""
    home, office = stage.lab.bridge("home"), stage.lab.bridge("office")
    hosts = stage.lab.host("laptop", bridge=home), stage.lab.host("desktop", bridge=office)
    middle = stage.lab.router("middle", home, office)
    middle.run(["ip", "link", "set", "eth1", "mtu", str(MTU)])
    _meet_at(stage, middle, *hosts)
    stage.session()
    return stage.pushed()


def black_hole(stage: Stage) -> Answer:
    """Something on the way swallows what is longer, and says nothing; the devices know each other already."""
    stage.on_one_network()
    stage.session()
    stage.laptop.host.cable.both(Faults(largest=MTU + 14))
    return stage.pushed()


def ipv6_alone(faults: Faults) -> Callable[[Stage], Answer]:
    """No IPv4 anywhere."""

    def play(stage: Stage) -> Answer:
        net = stage.lab.bridge("net")
        laptop, desktop = (
            stage.device(stage.lab.host(name, bridge=net, address=None, seed=stage.seed + number))
            for number, name in enumerate(("laptop", "desktop"))
        )
        for number, peer in enumerate((laptop, desktop), start=1):
            peer.host.run(["ip", "address", "add", f"fd77::{number}/64", "dev", "eth0", "nodad"])
        stage.people(laptop, desktop)
        stage.session()
        laptop.host.cable.both(faults)
        return stage.pushed()

    return play


def relay_restarts(stage: Stage) -> Answer:
    """The connection breaks while the relay, the only way to find each other again, is away."""
    home, office, cloud = stage.lab.bridge("home"), stage.lab.bridge("office"), stage.lab.bridge("cloud")
    hosts = stage.lab.host("laptop", bridge=home, seed=stage.seed), stage.lab.host("desktop", bridge=office)
    stage.lab.router("middle", home, office, cloud)
    server = stage.lab.host("server", bridge=cloud)
    relay = _meet_at(stage, server, *hosts)
    watching, pushing = half_way(stage, build=False)
    stage.laptop.host.cable.cut()
    relay.kill()
    relay.wait()
    watching.wait("disconnected")
    stage.laptop.host.cable.both(Faults())
    start_relay(server)
    return pushing.answer(PATIENCE)


def clock_is_off(which: str, offset: str) -> Callable[[Stage], Answer]:
    """One device's wall clock is wrong from the start; its monotonic clock is not."""

    def play(stage: Stage) -> Answer:
        net = stage.lab.bridge("net")
        laptop, desktop = (stage.device(stage.lab.host(name, bridge=net)) for name in ("laptop", "desktop"))
        for peer in (laptop, desktop):
            peer.start_agent(program=_with_clock(peer, offset) if peer.name == which else ())
        stage.people(laptop, desktop, start=False)
        stage.session()
        return stage.pushed()

    return play


def stands_still(which: str) -> Callable[[Stage], Answer]:
    """A device is suspended half way, until the other one has given the connection up."""

    def play(stage: Stage) -> Answer:
        watching_source, pushing = half_way(stage)
        watching_target = stage.desktop.events()
        frozen, watching = (stage.laptop, watching_target) if which == "laptop" else (stage.desktop, watching_source)
        frozen.agent.send_signal(signal.SIGSTOP)
        watching.wait("disconnected")
        frozen.agent.send_signal(signal.SIGCONT)
        return pushing.answer(PATIENCE)

    return play


def faketime() -> Path | None:
    """Debian's libfaketime for programs with threads, where it is installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def _with_clock(peer: Peer, offset: str) -> tuple[str, ...]:
    library = faketime()
    assert library is not None, "faketime is not installed"
    settings = (f"LD_PRELOAD={library}", f"FAKETIME={offset}", "FAKETIME_DONT_FAKE_MONOTONIC=1")
    return ("env", *settings, str(HANDOFF), "agent", "run", "--json", "--name", peer.name)


def _meet_at(stage: Stage, server: Host, laptop: Host, desktop: Host) -> subprocess.Popen[Any]:
    relay, url = start_relay(server)
    stage.people(stage.device(laptop, "--relay", url), stage.device(desktop, "--relay", url), discovered=False)
    return relay
