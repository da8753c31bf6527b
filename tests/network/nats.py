# SPDX-License-Identifier: Apache-2.0
"""Scenarios of devices behind address translation, with a shared relay and a STUN server on a public network.

A translator keeps a host's port where it can (endpoint-independent mapping, RFC 4787 §4.1) or draws a new one for each
destination (``symmetric``); it lets in answers only. Two of which one is symmetric meet nowhere without a TURN server.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from tests.network.cable import ROOT
from tests.network.lab import Bridge, Host, Lab
from tests.network.partitions import half_way
from tests.network.peer import Answer, Peer, start_relay, until
from tests.network.stage import PATIENCE, Stage


class Home(Enum):
    """How a device is connected to the public network."""

    PUBLIC = "public"
    NAT = "behind a translator"
    SYMMETRIC = "behind a symmetric translator"


class Stun(Enum):
    """What the devices' STUN setting leads to."""

    NONE = "no server"
    ANSWERS = "a server"
    SILENT = "a server that never answers"
    TURN = "a server that passes everything on, for those who know its password"


@dataclass(frozen=True, slots=True)
class Internet:
    """The public network of a scenario."""

    net: Bridge
    relay: str
    settings: str
    """Of every device."""


USER, PASSWORD = "somebody", "a password of the laboratory"
TURNSERVER = shutil.which("turnserver")


def translated(source: Home, target: Home, stun: Stun = Stun.ANSWERS) -> Callable[[Stage], Answer]:
    """A handoff between two such homes, which know each other by a relay only."""

    def play(stage: Stage) -> Answer:
        connect(stage, source, target, stun)
        stage.session()
        first = stage.pushed()
        # Who cannot be helped is told why, and what would help.
        assert (first.exit_code == 4) == ("'stun'" in first.message), first.result
        assert stun is not Stun.TURN or first.result["path"] == "relayed", first.result
        return first

    return play


def provider_changes_the_address(stage: Stage) -> Answer:
    """The translator of the source gets another public address half way."""
    connect(stage, Home.NAT, Home.PUBLIC, Stun.ANSWERS)
    watching, pushing = half_way(stage, build=False)
    router = stage.translators[0]
    router.drop_address("eth1")
    router.add_address("eth1", "10.77.0.200/24")
    watching.wait("disconnected")
    return pushing.answer(PATIENCE)


def connect(stage: Stage, source: Home, target: Home, stun: Stun) -> None:
    """Two linked devices in such homes."""
    internet = build_internet(stage.lab, stun)
    laptop, desktop = settle(stage, internet, "laptop", source), settle(stage, internet, "desktop", target)
    stage.people(laptop, desktop, discovered=False)


def build_internet(lab: Lab, stun: Stun) -> Internet:
    """A public network with a relay and, on the same host, what there is of a STUN server."""
    net = lab.bridge("internet")
    server = lab.host("server", bridge=net)
    _, relay = start_relay(server)
    if stun is Stun.ANSWERS:
        argv = [sys.executable, "-m", "tests.network.stun_server", server.address, "3478"]
        process = server.popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    if stun is Stun.SILENT:
        server.run(["iptables", "-w", "-A", "INPUT", "-p", "udp", "-j", "DROP"])
    if stun is Stun.TURN:
        _serve_turn(server)
        account = f'[turn]\nservers = ["turn:{server.address}:3478"]\nuser = "{USER}"\n'
        return Internet(net, relay, account)
    return Internet(net, relay, "" if stun is Stun.NONE else f'stun = ["stun:{server.address}:3478"]\n')


def _serve_turn(server: Host) -> None:
    """A TURN server, which listens when this returns."""
    assert TURNSERVER is not None
    # Devices name their addresses at home as well. What is sent there vanishes somewhere, as it does in the world:
    # without any route the server would be told so, and end the allocation.
    server.run(["ip", "link", "add", "nowhere", "type", "veth", "peer", "name", "void"])
    for end in ("nowhere", "void"):
        server.run(["ip", "link", "set", end, "arp", "off", "up"])
    server.run(["ip", "route", "add", "default", "dev", "nowhere"])
    options = {"listening-ip": server.address, "relay-ip": server.address, "user": f"{USER}:{PASSWORD}", "realm": "lab"}
    argv = [TURNSERVER, "-n", "--lt-cred-mech", "--no-cli", "--no-tls", "--no-dtls", "--log-file=stdout"]
    server.popen(
        [*argv, "--pidfile=", "--userdb=", *(f"--{name}={value}" for name, value in options.items())],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: server.reaches(server.address, 3478, patience=1.0), 20.0, "the TURN server listens")


def settle(stage: Stage, internet: Internet, name: str, home: Home) -> Peer:
    """A device in such a home, which does not run yet."""
    if home is Home.PUBLIC:
        host = stage.lab.host(name, bridge=internet.net)
        host.block_multicast()
    else:
        inside = stage.lab.bridge(f"home-{name}")
        host = stage.lab.host(name, bridge=inside)
        stage.translators.append(translator(stage.lab, inside, internet.net, symmetric=home is Home.SYMMETRIC))
    peer = stage.device(host, "--relay", internet.relay)
    if internet.settings:
        peer.home.mkdir(parents=True, mode=0o700)
        (peer.home / "config.toml").write_text(internet.settings)
        credential = peer.home / "turn-credential"
        credential.touch(0o600)
        credential.write_text(f"{PASSWORD}\n")
    return peer


def translator(lab: Lab, inside: Bridge, outside: Bridge, *, symmetric: bool) -> Host:
    """A home router: translates what goes out, lets in nothing but answers, and hides that it exists."""
    router = lab.host(f"nat-{inside.name}")
    router.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    gateway = router.addresses[router.attach(inside)]
    router.attach(outside)
    for host in inside.hosts:
        if host is not router:
            host.default_route(gateway)
    random_port = ["--random-fully"] if symmetric else []
    router.run(["iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-o", "eth1", "-j", "MASQUERADE", *random_port])
    answers = ["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"]
    router.run(["iptables", "-w", "-A", "FORWARD", "-i", "eth1", *answers])
    # A refusal sent back would be remembered as a conversation and take the port that the host's own packets need.
    for chain in ("FORWARD", "INPUT"):
        router.run(["iptables", "-w", "-A", chain, "-i", "eth1", "-j", "DROP"])
    return router
