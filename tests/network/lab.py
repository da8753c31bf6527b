# SPDX-License-Identifier: Apache-2.0
"""A network laboratory: real hosts in network namespaces, joined by bridges and routers.

Nothing touches the machine's own interfaces: a bridge lives in a namespace of its own, and a host's cable (a veth pair)
is created from that namespace into the host's. Names carry the process id and its start time, so that several test
processes run side by side and what a killed one left behind is recognised and removed.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.network.cable import FaultyCable

PREFIX: Final = "handoff-lab"
MULTICAST: Final = "224.0.0.0/4"
MDNS_PORT: Final = "5353"
COMMAND_DEADLINE: Final = 30.0
"""Seconds a command of the laboratory may take."""
_OWNED: Final = re.compile(rf"{PREFIX}-(\d+)-(\d+)-.+")


class LabError(Exception):
    """A command of the laboratory failed."""


@cache
def missing() -> str | None:
    """Why no laboratory can be built here; None when it can."""
    if os.geteuid() != 0:
        return "the network laboratory needs root"
    absent = [tool for tool in ("ip", "iptables", "ip6tables") if shutil.which(tool) is None]
    if absent:
        return f"the network laboratory needs {' and '.join(absent)}"
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return None if probe.returncode == 0 else "this machine does not allow network namespaces"


@dataclass
class Bridge:
    """One layer-2 network with an IPv4 subnet."""

    name: str
    namespace: str
    network: IPv4Network
    hosts: list[Host] = field(default_factory=list)
    gateway: IPv4Address | None = None
    _free: Iterator[IPv4Address] = field(init=False)

    def __post_init__(self) -> None:
        self._free = self.network.hosts()

    def next_address(self) -> str:
        """An unused address with its prefix, like ``10.77.1.2/24``."""
        return f"{next(self._free)}/{self.network.prefixlen}"


class Host:
    """One host: a namespace with loopback and any number of interfaces, ``eth0`` being the first."""

    def __init__(self, lab: Lab, name: str, namespace: str) -> None:
        self.name = name
        self.namespace = namespace
        self.addresses: dict[str, IPv4Address] = {}
        self.cables: dict[str, FaultyCable] = {}
        """By interface, where it was plugged in with a bad cable."""
        self._lab = lab
        self._running: list[subprocess.Popen[Any]] = []

    @property
    def address(self) -> str:
        """Its first IPv4 address."""
        return str(next(iter(self.addresses.values())))

    def run(self, argv: Sequence[str], *, check: bool = True, timeout: float = COMMAND_DEADLINE) -> str:
        """Run a command on this host to its end.

        Returns:
            Its standard output.

        Raises:
            LabError: It failed and ``check`` is set, or took longer than ``timeout`` seconds.
        """
        return _run(["ip", "netns", "exec", self.namespace, *argv], check=check, timeout=timeout)

    def popen(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Start a command on this host; it is killed with the laboratory at the latest."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, *argv], env={**os.environ, **(env or {})}, **options
        )
        self._running.append(process)
        return process

    def reaches(self, address: str, port: int, *, patience: float = 10.0) -> bool:
        """Whether a TCP connection opens from here within ``patience`` seconds."""
        dial = f"import socket; socket.create_connection(({address!r}, {port}), {patience}).close()"
        try:
            self.run([sys.executable, "-S", "-c", dial])
        except LabError:
            return False
        return True

    @property
    def cable(self) -> FaultyCable:
        """The bad cable of its first interface."""
        return self.cables["eth0"]

    def attach(
        self, bridge: Bridge, *, address: str | None = "auto", ipv6: bool = True, seed: int | None = None
    ) -> str:
        """Plug this host into a bridge.

        Args:
            bridge: Where to.
            address: ``auto`` for the subnet's next address, an address with prefix, or None for no IPv4.
            ipv6: Whether the interface has a link-local IPv6 address.
            seed: Of a bad cable (``cables``); None lays a good one.

        Returns:
            The new interface's name.
        """
        interface = f"eth{len(self.interfaces())}"
        self._lab.plug(bridge, self, interface, seed)
        setting = f"/proc/sys/net/ipv6/conf/{interface}"
        # Without duplicate address detection a fresh address can be used at once.
        self.run(["sh", "-c", f"echo 0 > {setting}/accept_dad; echo {int(not ipv6)} > {setting}/disable_ipv6"])
        self.set_link(interface, up=True)
        if address is not None:
            self.add_address(interface, bridge.next_address() if address == "auto" else address)
            self.run(["ip", "route", "add", MULTICAST, "dev", interface, "metric", str(len(self.addresses))])
            if bridge.gateway is not None:
                self.default_route(bridge.gateway)
        bridge.hosts.append(self)
        return interface

    def interfaces(self) -> list[str]:
        """Names of its interfaces except loopback."""
        lines = self.run(["ip", "-o", "link", "show"]).splitlines()
        names = [line.split(": ")[1].partition("@")[0] for line in lines]
        return [name for name in names if name.startswith("eth")]

    def add_address(self, interface: str, address: str) -> None:
        """Give an interface another IPv4 address with prefix."""
        self.run(["ip", "address", "add", address, "dev", interface])
        self.addresses.setdefault(interface, IPv4Interface(address).ip)

    def drop_address(self, interface: str) -> None:
        """Take all addresses from an interface, as when a lease ends."""
        self.run(["ip", "address", "flush", "dev", interface])
        self.addresses.pop(interface, None)

    def set_link(self, interface: str, *, up: bool) -> None:
        """Plug the cable in or pull it."""
        self.run(["ip", "link", "set", interface, "up" if up else "down"])

    def default_route(self, gateway: IPv4Address) -> None:
        """Send everything else through a router."""
        self.run(["ip", "route", "replace", "default", "via", str(gateway)])

    def block_multicast(self) -> None:
        """Drop mDNS in both directions, as a strict firewall does; IPv6 neighbour discovery goes on."""
        self._multicast("-I")

    def allow_multicast(self) -> None:
        """Undo ``block_multicast``."""
        self._multicast("-D")

    def drop_from(self, address: str) -> None:
        """Lose everything that comes from an address: one direction of a partition."""
        self.run(["iptables", "-w", "-I", "INPUT", "-s", address, "-j", "DROP"])

    def accept_from(self, address: str) -> None:
        """Undo ``drop_from``."""
        self.run(["iptables", "-w", "-D", "INPUT", "-s", address, "-j", "DROP"])

    def kill_all(self) -> None:
        """Kill what ``popen`` started and everything else that runs on this host."""
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with suppress(OSError):  # what was written to a dead process cannot be flushed
                        stream.close()
        _kill_inside(self.namespace)
        while self.cables:
            self.cables.popitem()[1].close()

    def _multicast(self, change: str) -> None:
        for chain in ("INPUT", "OUTPUT"):
            self.run(["iptables", "-w", change, chain, "-d", MULTICAST, "-j", "DROP"])
            self.run(["ip6tables", "-w", change, chain, "-p", "udp", "--dport", MDNS_PORT, "-j", "DROP"])


class Lab:
    """The laboratory: a context manager that leaves nothing behind.

    Raises:
        LabError: A namespace, bridge or cable could not be made.
    """

    def __init__(self) -> None:
        self._owner = f"{PREFIX}-{os.getpid()}-{_started(os.getpid())}"
        self._numbers = itertools.count()
        self._cables = itertools.count()
        self._subnets = IPv4Network("10.77.0.0/16").subnets(new_prefix=24)
        self._namespaces: list[str] = []
        self._hosts: list[Host] = []

    def __enter__(self) -> Self:
        sweep()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def bridge(self, name: str) -> Bridge:
        """A new layer-2 network with a /24 of its own."""
        namespace = self._namespace(name)
        # Without snooping and forwarding delay the first frame passes at once.
        options = ["mcast_snooping", "0", "forward_delay", "0", "stp_state", "0"]
        _run(["ip", "-n", namespace, "link", "add", "bridge0", "type", "bridge", *options])
        _run(["ip", "-n", namespace, "link", "set", "bridge0", "up"])
        return Bridge(name, namespace, next(self._subnets))

    def host(
        self,
        name: str,
        *,
        bridge: Bridge | None = None,
        address: str | None = "auto",
        ipv6: bool = True,
        seed: int | None = None,
    ) -> Host:
        """A new host, plugged into a bridge unless that is None (``Host.attach`` explains the rest)."""
        host = Host(self, name, self._namespace(name))
        host.run(["ip", "link", "set", "lo", "up"])
        self._hosts.append(host)
        if bridge is not None:
            host.attach(bridge, address=address, ipv6=ipv6, seed=seed)
        return host

    def router(self, name: str, *bridges: Bridge) -> Host:
        """Route IPv4 between bridges: connections pass, mDNS does not (it is link-local)."""
        router = self.host(name)
        router.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
        for bridge in bridges:
            gateway = router.addresses[router.attach(bridge)]
            bridge.gateway = gateway
            for host in bridge.hosts:
                if host is not router:
                    host.default_route(gateway)
        return router

    def plug(self, bridge: Bridge, host: Host, interface: str, seed: int | None = None) -> None:
        """Lay a cable from a bridge to a host (``Host.attach`` does that and the addresses)."""
        port = f"port{next(self._cables)}"
        if seed is None:
            peer = ["peer", "name", interface, "netns", host.namespace]
            _run(["ip", "-n", bridge.namespace, "link", "add", port, "type", "veth", *peer])
        else:
            host.cables[interface] = FaultyCable(seed, (host.namespace, interface), (bridge.namespace, port))
        _run(["ip", "-n", bridge.namespace, "link", "set", port, "master", "bridge0", "up"])

    def close(self) -> None:
        """Kill all processes on the hosts, remove all namespaces; what is in them goes with them."""
        for host in self._hosts:
            host.kill_all()
        while self._namespaces:
            _remove(self._namespaces.pop())
        self._hosts.clear()

    def _namespace(self, label: str) -> str:
        name = f"{self._owner}-{next(self._numbers)}{label}"
        _run(["ip", "netns", "add", name])
        self._namespaces.append(name)
        return name


def sweep() -> list[str]:
    """Remove what dead test processes left behind; returns the names of the namespaces."""
    found = [line.split()[0] for line in _run(["ip", "netns", "list"]).splitlines() if line]
    dead = [name for name in found if (match := _OWNED.fullmatch(name)) and not _alive(*match.groups())]
    for name in dead:
        _remove(name)
    return dead


def _alive(pid: str, started: str) -> bool:
    try:
        return _started(int(pid)) == started
    except OSError:
        return False


def _started(pid: int) -> str:
    """When a process started, in clock ticks since boot (proc_pid_stat(5), field 22)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def _remove(namespace: str) -> None:
    _kill_inside(namespace)
    _run(["ip", "netns", "delete", namespace], check=False)


def _kill_inside(namespace: str) -> None:
    for pid in _run(["ip", "netns", "pids", namespace], check=False).split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def _run(argv: Sequence[str], *, check: bool = True, timeout: float = COMMAND_DEADLINE) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise LabError(f"{' '.join(argv)}: not done after {timeout} s") from None
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout
