# SPDX-License-Identifier: Apache-2.0
"""Advertise this device and find others by multicast DNS. Layer: I/O ring; the only module that imports zeroconf.

What zeroconf lacks is added here: one membership per interface and address family, a poll that follows the machine's
interfaces, a check that a silent peer still answers, and the problem in words when multicast does not work.
Specification: docs/specs/discovery.md (RFC 6762, RFC 6763).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Final

from zeroconf import DNSQuestionType, IPVersion, ServiceStateChange, Zeroconf, current_time_millis
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from p2p_handoff.discovery.addresses import Interface, advertised, dialable
from p2p_handoff.discovery.announcement import (
    SERVICE_TYPE,
    Announcement,
    Sighting,
    instance_label,
    read_sighting,
    server_name,
    txt_record,
)
from p2p_handoff.discovery.interfaces import usable_interfaces
from p2p_handoff.discovery.sightings import SightingBook
from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import DeviceId

log = logging.getLogger(__name__)

INTERFACE_POLL: Final = 2.0
"""Seconds between looks at the machine's interfaces."""
RESOLVE_DEADLINE: Final = 3.0
"""Seconds a device has to answer for its own records; zeroconf asks up to three times in it."""
RECORD_TTL: Final = 120
"""Seconds a record lives: a host's records in RFC 6762 §10. A device that vanished is noticed within about this."""
RECONFIRM_BELOW: Final = 30.0
"""Remaining lifetime in seconds at which a device is asked again: 75 % of its record is over (RFC 6762 §5.2)."""
ECHO_DEADLINE: Final = 3.0
"""Seconds within which a device must hear its own announcement, else multicast is blocked."""
FLUSH_DELAY: Final = 1.1
"""Seconds for which a replaced record still stands beside the new one, and a margin (RFC 6762 §10.2: one second)."""
MAX_RESOLVING: Final = 256
"""Questions under way at once: more come only from a flood."""

_PTR, _TXT, _SRV, _IN = 12, 16, 33, 1
"""Record types and class of RFC 1035 §3.2 and RFC 2782."""


class Discovery:
    """Advertises one device and keeps the devices in sight. All methods run on one event loop.

    Call ``start()``, then ``update()`` whenever the announcement changes, and ``close()`` at the end. Nothing here
    raises because the network is missing or blocked: ``problem`` says so, and discovery recovers by itself.

    Args:
        on_found: Called with a device that came into sight or whose sighting changed.
        on_lost: Called with a device that said goodbye or fell silent.
        interfaces: Where the machine's interfaces are read.
        poll_interval: Seconds between looks at them.
    """

    def __init__(
        self,
        on_found: Callable[[Sighting], None],
        on_lost: Callable[[DeviceId], None],
        *,
        interfaces: Callable[[], Sequence[Interface]] = usable_interfaces,
        poll_interval: float = INTERFACE_POLL,
    ) -> None:
        self._book = SightingBook(on_found, on_lost)
        self._read_interfaces = interfaces
        self._poll_interval = poll_interval
        self._interfaces: tuple[Interface, ...] = ()
        self._announcement: Announcement | None = None
        self._service: AsyncServiceInfo | None = None
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._watching: asyncio.Task[None] | None = None
        self._resolving: dict[str, asyncio.Task[bool]] = {}
        self._broadcasts: dict[str, asyncio.Future[None]] = {}
        self._changing = asyncio.Lock()
        self._own_names: set[str] = set()
        self._socket_problem: str | None = None
        self._announced_at: float | None = None
        self._heard_self = False
        self.ignored = 0
        """Announcements that were malformed, contradictory or too many."""

    @property
    def sightings(self) -> Mapping[DeviceId, Sighting]:
        """The devices in sight now."""
        return self._book.devices

    @property
    def problem(self) -> str | None:
        """Why devices may not be found, in words; None while all is well."""
        if self._socket_problem is not None:
            return self._socket_problem
        if not self._interfaces:
            return "this device has no network interface with an address"
        if self._unheard():
            return "multicast DNS is blocked: this device does not hear its own announcement (UDP port 5353)"
        return None

    async def start(self, announcement: Announcement | None) -> None:
        """Begin to browse, and to advertise unless ``announcement`` is None."""
        async with self._changing:
            self._announcement = announcement
            self._interfaces = tuple(self._read_interfaces())
            await self._open()
        self._watching = asyncio.create_task(self._watch(), name="discovery interfaces")

    async def update(self, announcement: Announcement | None) -> None:
        """Advertise something else from now on, for example an open room; None withdraws."""
        async with self._changing:
            self._announcement = announcement
            if self._zeroconf is not None:
                await self._publish(self._zeroconf)

    async def refresh_interfaces(self) -> None:
        """Look at the machine's interfaces now and follow what changed."""
        async with self._changing:
            await self._follow_interfaces()

    async def reconfirm(self, device: DeviceId) -> bool:
        """Ask a device whether it is still there, for example after it could not be reached (RFC 6762 §10.4).

        Returns:
            Whether it answered within RESOLVE_DEADLINE; if not it is lost.
        """
        answers = await asyncio.gather(*(self._ask(name) for name in self._book.names_of(device)))
        return any(answers)

    async def close(self) -> None:
        """Say goodbye and stop; no callback is called after this."""
        async with self._changing:
            tasks = [task for task in (self._watching, *self._resolving.values()) if task is not None]
            await _cancel([*tasks, *self._broadcasts.values()])
            if self._zeroconf is not None:
                await self._shut(self._zeroconf)

    # --- sockets and interfaces -------------------------------------------------------------------

    async def _open(self) -> None:
        try:
            # The listening socket first and the interfaces after it: one that just vanished fails alone then.
            zeroconf = AsyncZeroconf(interfaces=[], ip_version=_ip_version())
            await zeroconf.zeroconf.async_wait_for_start()
        except (OSError, RuntimeError) as error:
            self._socket_problem = f"multicast DNS cannot be used: {error}"
            return
        self._zeroconf = zeroconf
        await self._adopt_interfaces(zeroconf)
        self._browse(zeroconf)
        await self._publish(zeroconf)

    async def _adopt_interfaces(self, zeroconf: AsyncZeroconf) -> None:
        try:
            await zeroconf.async_update_interfaces(_selectors(self._interfaces))
        except (OSError, RuntimeError) as error:
            self._socket_problem = f"multicast DNS cannot use an interface: {error}"
        else:
            self._socket_problem = None

    async def _shut(self, zeroconf: AsyncZeroconf) -> None:
        if self._browser is not None:
            await self._browser.async_cancel()
        await zeroconf.async_close()
        self._browser = self._zeroconf = self._service = None

    def _browse(self, zeroconf: AsyncZeroconf) -> None:
        # Unicast answers would reach only one of several agents that share port 5353 of an address: ask for multicast.
        self._browser = AsyncServiceBrowser(
            zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._service_changed], question_type=DNSQuestionType.QM
        )

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_interval)
            try:
                await self.refresh_interfaces()
                self._reconfirm_silent()
            except Exception:
                log.exception("discovery could not follow the machine's interfaces")

    async def _follow_interfaces(self) -> None:
        interfaces = tuple(self._read_interfaces())
        changed = interfaces != self._interfaces
        self._interfaces = interfaces
        if self._zeroconf is None:
            await self._open()
            return
        renew = changed or self._unheard()
        if renew:
            # First: the interfaces that appear below announce what is published by then.
            await self._publish(self._zeroconf)
        # Also without a change: an IPv6 address cannot be bound in its first second (RFC 4862 §5.4).
        await self._adopt_interfaces(self._zeroconf)
        if renew:
            await self._ask_again(self._zeroconf)

    async def _ask_again(self, zeroconf: AsyncZeroconf) -> None:
        """Browse anew and ask everyone in sight: the network on the other side may be another one."""
        if self._browser is not None:
            await self._browser.async_cancel()
        self._browse(zeroconf)
        for name in self._book.instances:
            self._run(name, self._ask(name))

    # --- what this device says --------------------------------------------------------------------

    async def _publish(self, zeroconf: AsyncZeroconf) -> None:
        before, after = self._service, self._service_info()
        if before is not None and (after is None or after.name != before.name):
            self._broadcast(before.name, await zeroconf.async_unregister_service(before))
            before = None
        self._service = after
        if after is None:
            self._announced_at = None
            return
        self._own_names.add(after.name)
        if self._announced_at is None:
            self._announced_at = asyncio.get_running_loop().time()
        if before is not None:
            self._broadcast(after.name, await zeroconf.async_update_service(after))
        else:
            # The name holds the device id, so nobody else has a claim to it: probing for a conflict would only
            # let anyone on the network keep this device out.
            sending = await zeroconf.async_register_service(after, cooperating_responders=True)
            self._broadcast(after.name, sending)

    def _service_info(self) -> AsyncServiceInfo | None:
        if self._announcement is None:
            return None
        return AsyncServiceInfo(
            SERVICE_TYPE,
            f"{instance_label(self._announcement)}.{SERVICE_TYPE}",
            port=self._announcement.port,
            properties=txt_record(self._announcement),
            server=server_name(self._announcement.device),
            parsed_addresses=list(advertised(self._interfaces)),
            host_ttl=RECORD_TTL,
            other_ttl=RECORD_TTL,
        )

    def _broadcast(self, name: str, sending: Awaitable[None]) -> None:
        """Follow a series of announcements; an older series would still tell the old story after the new one."""
        if (older := self._broadcasts.pop(name, None)) is not None:
            older.cancel()
        self._broadcasts[name] = asyncio.ensure_future(sending)

    def _unheard(self) -> bool:
        if self._heard_self or self._announced_at is None:
            return False
        return asyncio.get_running_loop().time() - self._announced_at > ECHO_DEADLINE

    # --- what others say --------------------------------------------------------------------------

    def _service_changed(
        self,
        zeroconf: Zeroconf,
        service_type: str,  # noqa: ARG002 - zeroconf calls by keyword
        name: str,
        state_change: ServiceStateChange,
    ) -> None:
        if name in self._own_names:
            self._heard_self = True
        elif state_change is ServiceStateChange.Removed:
            self._book.remove(name)
        else:
            self._run(name, self._resolve_settled(zeroconf, name))

    def _run(self, name: str, question: Coroutine[None, None, bool]) -> None:
        """Put a question about an instance; a newer one takes the place of an older one."""
        if (older := self._resolving.pop(name, None)) is not None:
            older.cancel()
        if len(self._resolving) >= MAX_RESOLVING:
            question.close()
            self.ignored += 1
            return
        task = asyncio.create_task(question, name=f"discovery of {name}")
        self._resolving[name] = task
        task.add_done_callback(lambda done: self._answered(name, done))

    def _answered(self, name: str, done: asyncio.Task[bool]) -> None:
        if self._resolving.get(name) is done:
            del self._resolving[name]
        if not done.cancelled() and (error := done.exception()):
            log.error("discovery of a device failed", exc_info=error)

    async def _resolve_settled(self, zeroconf: Zeroconf, name: str) -> bool:
        """Look now, and once more when records that were replaced have left the cache (RFC 6762 §10.2)."""
        await self._resolve(zeroconf, name)
        await asyncio.sleep(FLUSH_DELAY)
        return await self._resolve(zeroconf, name)

    async def _resolve(self, zeroconf: Zeroconf, name: str) -> bool:
        info = AsyncServiceInfo(SERVICE_TYPE, name)
        if not await info.async_request(zeroconf, RESOLVE_DEADLINE * 1000, question_type=DNSQuestionType.QM):
            return False
        try:
            addresses = dialable(info.parsed_scoped_addresses(), self._interfaces)
            sighting = read_sighting(info.properties, info.server or "", info.port or 0, addresses)
        except RemoteProtocolError as error:
            log.debug("ignored an announcement: %s", error)
            self.ignored += 1
            self._book.remove(name)
            return False
        if self._announcement is not None and sighting.device == self._announcement.device:
            return False
        self.ignored += not self._book.put(name, sighting)
        return True

    def _reconfirm_silent(self) -> None:
        if self._zeroconf is None:
            return
        for name in self._book.instances:
            if name not in self._resolving and _lifetime(self._zeroconf.zeroconf, name) < RECONFIRM_BELOW:
                self._run(name, self._ask(name))

    async def _ask(self, name: str) -> bool:
        """Forget what is cached of an instance and ask it; without an answer it is lost."""
        current = self._zeroconf
        if current is None:
            return False
        cache = current.zeroconf.cache
        cache.async_remove_records(cache.async_all_by_details(name, _SRV, _IN))
        if await self._resolve(current.zeroconf, name):
            return True
        if self._zeroconf is not current:  # closed meanwhile
            return False
        # Without its pointer the instance counts as new when it is heard again.
        pointers = cache.async_all_by_details(SERVICE_TYPE, _PTR, _IN)
        cache.async_remove_records([pointer for pointer in pointers if getattr(pointer, "alias", None) == name])
        self._book.remove(name)
        return False


def _selectors(interfaces: Sequence[Interface]) -> list[str | int]:
    """One IPv4 address and one IPv6 address per interface: a second membership of an interface is refused.

    zeroconf takes IPv6 interfaces by address; where two interfaces have the same one it needs the index.
    """
    every = [str(address.ip) for interface in interfaces for address in interface.ipv6]
    chosen: list[str | int] = [str(interface.ipv4[0].ip) for interface in interfaces if interface.ipv4]
    for interface in interfaces:
        if interface.ipv6:
            address = str(interface.ipv6[0].ip)
            chosen.append(address if every.count(address) == 1 else interface.index)
    return chosen


def _ip_version() -> IPVersion:
    """Both families, unless the kernel has no IPv6."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return IPVersion.V4Only
    return IPVersion.All


def _lifetime(zeroconf: Zeroconf, name: str) -> float:
    """Seconds for which the newest SRV record of an instance is still good."""
    records = zeroconf.cache.async_all_by_details(name, _SRV, _IN)
    now = current_time_millis()
    return max((float(record.get_remaining_ttl(now)) for record in records), default=0.0)


async def _cancel(tasks: Sequence[asyncio.Future[None] | asyncio.Task[bool]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task
