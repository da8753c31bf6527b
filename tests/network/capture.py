# SPDX-License-Identifier: Apache-2.0
"""What goes over a network of the laboratory, as somebody sees it who records every packet: tcpdump, and a reader.

The reader puts TCP streams together and takes the mask off WebSocket messages (RFC 6455 §5.3), so that a word is
found however it was cut or disguised.
"""

from __future__ import annotations

import re
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.network.lab import COMMAND_DEADLINE, Bridge

MDNS_PORT: Final = 5353
_ETHERNET: Final = 1
_IPV4, _IPV6 = 0x0800, 0x86DD
_TCP, _UDP = 6, 17
_UPGRADED: Final = b"\r\n\r\n"


def missing() -> str | None:
    """Why nothing can be recorded here; None when it can."""
    return None if shutil.which("tcpdump") else "recording packets needs tcpdump"


class Capture:
    """Records all packets of a bridge while the block lasts.

    Args:
        bridge: Whose.
        path: Where the packets are kept.
    """

    def __init__(self, bridge: Bridge, path: Path) -> None:
        self.path = path
        argv = ["tcpdump", "-i", "bridge0", "-n", "-U", "--immediate-mode", "-s", "0", "-B", "16384", "-Z", "root"]
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", bridge.namespace, *argv, "-w", str(path)], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        assert any("listening on" in line for line in self._process.stderr), "tcpdump did not start"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        _, said = self._process.communicate(timeout=COMMAND_DEADLINE)
        assert re.search(r"^0 packets dropped by kernel", said, re.MULTILINE), said

    def payloads(self) -> Payloads:
        """What was recorded; call it after the block."""
        return Payloads(self.path.read_bytes())


@dataclass(frozen=True, slots=True)
class _Flow:
    source: bytes
    source_port: int
    target: bytes
    target_port: int


class Payloads:
    """Everything that was sent, without the headers of Ethernet, IP, UDP and TCP.

    Args:
        recorded: A file of tcpdump.
    """

    def __init__(self, recorded: bytes) -> None:
        self.datagrams: list[tuple[_Flow, bytes]] = []
        self._segments: dict[_Flow, dict[int, bytes]] = {}
        for frame in _frames(recorded):
            self._take(frame)
        self.streams = {flow: _joined(segments) for flow, segments in self._segments.items()}

    @property
    def in_the_clear(self) -> list[bytes]:
        """What anybody can read: multicast DNS, and TCP as it was sent and as it was meant."""
        return [
            *(data for flow, data in self.datagrams if MDNS_PORT in (flow.source_port, flow.target_port)),
            *self.streams.values(),
            *(message for stream in self.streams.values() for message in _unmasked(stream)),
        ]

    @property
    def everything(self) -> list[bytes]:
        """The same, and all datagrams."""
        return [*self.in_the_clear, *(data for _, data in self.datagrams)]

    def _take(self, frame: bytes) -> None:
        (kind,) = struct.unpack_from("!H", frame, 12)
        packet = frame[14:]
        if kind == _IPV4:
            length, protocol = struct.unpack_from("!H", packet, 2)[0], packet[9]
            source, target, body = packet[12:16], packet[16:20], packet[(packet[0] & 15) * 4 : length]
        elif kind == _IPV6:
            length, protocol = struct.unpack_from("!H", packet, 4)[0], packet[6]
            source, target, body = packet[8:24], packet[24:40], packet[40 : 40 + length]
        else:
            return
        if protocol in (_TCP, _UDP):
            source_port, target_port = struct.unpack_from("!HH", body)
            self._keep(protocol, _Flow(source, source_port, target, target_port), body)

    def _keep(self, protocol: int, flow: _Flow, body: bytes) -> None:
        if protocol == _UDP:
            self.datagrams.append((flow, body[8:]))
            return
        (number,) = struct.unpack_from("!I", body, 4)
        if data := body[(body[12] >> 4) * 4 :]:
            segments = self._segments.setdefault(flow, {})
            segments[number] = max(segments.get(number, b""), data, key=len)


def _frames(recorded: bytes) -> Iterator[bytes]:
    magic, *_, link = struct.unpack_from("<IHHiIII", recorded)
    assert magic == 0xA1B2C3D4, "not a file of tcpdump on this kind of machine"
    assert link == _ETHERNET
    at = 24
    while at < len(recorded):
        _, _, kept, whole = struct.unpack_from("<IIII", recorded, at)
        assert kept == whole, "a packet was cut"
        yield recorded[at + 16 : at + 16 + kept]
        at += 16 + kept


def _joined(segments: dict[int, bytes]) -> bytes:
    """A stream in order; what was sent twice is there once. None of these wraps around at 2³²: they are short."""
    first = min(segments)
    whole = bytearray()
    for number in sorted(segments):
        offset, data = number - first, segments[number]
        assert offset <= len(whole), "a segment was not recorded"
        whole[offset : offset + len(data)] = data
    return bytes(whole)


def _unmasked(stream: bytes) -> Iterator[bytes]:
    """Messages of a WebSocket client, readable."""
    if not stream.startswith(b"GET ") or _UPGRADED not in stream:
        return
    at = stream.index(_UPGRADED) + len(_UPGRADED)
    while at + 2 <= len(stream):
        masked, size = stream[at + 1] & 0x80, stream[at + 1] & 0x7F
        assert masked, "a client's message is masked"
        extra = {126: 2, 127: 8}.get(size, 0)
        if extra:
            size = int.from_bytes(stream[at + 2 : at + 2 + extra])
        start = at + 2 + extra + 4
        mask, data = stream[start - 4 : start], stream[start : start + size]
        yield bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        at = start + size
