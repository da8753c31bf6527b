# SPDX-License-Identifier: Apache-2.0
"""What is remembered of the service instances of others: zeroconf's cache, read and weeded. Layer: I/O ring, zeroconf.

The library reads any of several records of one kind that it has, not the last one that was heard; and it calls nothing
new that it still remembers. What counts here is what was heard last: docs/specs/discovery.md §4 (RFC 6762 §10.2).
"""

from __future__ import annotations

from typing import Final

from zeroconf import Zeroconf, current_time_millis
from zeroconf._dns import DNSQuestion, DNSRecord
from zeroconf._protocol.outgoing import DNSOutgoing

from p2p_handoff.discovery.announcement import SERVICE_TYPE

_PTR, _TXT, _SRV, _IN = 12, 16, 33, 1
"""Record types and class of RFC 1035 §3.2 and RFC 2782."""
_ONE_OF_EACH: Final = (_SRV, _TXT)
"""Kinds of which an instance has exactly one record (RFC 6763 §6.1, §4)."""
_QUESTION: Final = 0x0000
"""The flags of a question (RFC 6762 §18)."""


class Records:
    """The records of others.

    Args:
        zeroconf: Hears and remembers them.
    """

    def __init__(self, zeroconf: Zeroconf) -> None:
        self._zeroconf = zeroconf

    def instances(self) -> tuple[str, ...]:
        """Names of all instances that were heard, this device's own among them."""
        return tuple(self._pointers())

    def lifetime(self, name: str) -> float:
        """Seconds for which the newest SRV record of an instance is still good."""
        now = current_time_millis()
        return max((float(record.get_remaining_ttl(now)) for record in self._of(name, _SRV)), default=0.0)

    def weed(self, name: str) -> None:
        """Keep of an instance what was heard last.

        What was replaced may stand for another second, or to its end if the new one came within a second of it.
        """
        for kind in _ONE_OF_EACH:
            records = sorted(self._of(name, kind), key=lambda record: record.get_expiration_time(100))
            self._remove(*records[:-1])

    def forget(self, name: str) -> None:
        """Let an instance have said nothing yet: whoever resolves it asks it."""
        self._remove(*(record for kind in _ONE_OF_EACH for record in self._of(name, kind)))

    def lose(self, *names: str) -> None:
        """Let instances never have been heard of: each is new when it is heard again."""
        pointers = self._pointers()
        self._remove(*(pointers[name] for name in names if name in pointers))

    def ask_all(self) -> None:
        """Ask everybody on all networks what they announce now; every answer is news.

        Nobody is named, neither as asked for nor as known (RFC 6762 §7.1), which would also keep them from answering.
        """
        for name in self._pointers():
            self._remove(*self._of(name, _TXT))
        out = DNSOutgoing(_QUESTION)
        out.add_question(DNSQuestion(SERVICE_TYPE, _PTR, _IN))
        self._zeroconf.async_send(out)

    def _pointers(self) -> dict[str, DNSRecord]:
        return {str(getattr(pointer, "alias", "")): pointer for pointer in self._of(SERVICE_TYPE, _PTR)}

    def _of(self, name: str, kind: int) -> list[DNSRecord]:
        return self._zeroconf.cache.async_all_by_details(name, kind, _IN)

    def _remove(self, *records: DNSRecord) -> None:
        self._zeroconf.cache.async_remove_records(records)
