# SPDX-License-Identifier: Apache-2.0
"""What somebody learns who records all packets of a network: docs/specs/discovery.md §6, docs/specs/signaling.md §9."""

from __future__ import annotations

import base64
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from p2p_handoff.security.identity import MLKEM_KEY_BYTES, PublicIdentity
from p2p_handoff.store.home import Home
from tests.network.capture import Capture, Payloads, missing
from tests.network.conftest import require
from tests.network.lab import Host, Lab
from tests.network.peer import HANDOFF, PATIENCE, Devices, Peer, link, until

pytestmark = pytest.mark.network

USER: Final = "mortimer"
TITLE: Final = "Kolibri manuscript"
FILE: Final = "saffron-and-cardamom.txt"
CONTENT: Final = "equal parts, and nobody else must know\n" * 40
LABEL: Final = re.compile(rb"\x1a([a-z2-7]{26})(?:\x0c_p2p-handoff|\x05local|\xc0)")
"""An instance's or a host's name as multicast DNS writes it: lengths before labels, a pointer to what was before."""


@pytest.fixture(autouse=True)
def _recorder() -> None:
    require(missing())


def start(peer: Peer, *options: str) -> None:
    """Start an agent on a host of that name, as a user of that name, with the display name that follows from it."""
    shell = 'hostname "$0" && USER="$1" LOGNAME="$1" && export USER LOGNAME && shift && exec "$@"'
    named = ("unshare", "--uts", "sh", "-c", shell, peer.name, USER)
    peer.start_agent(*options, program=(*named, str(HANDOFF), "agent", "run", "--json", "--log-level", "info"))


def pinned(peer: Peer) -> PublicIdentity:
    """The identity of the device that a device is linked with."""
    with closing(sqlite3.connect(f"file:{Home(peer.home).database}?mode=ro", uri=True)) as store:
        ((public,),) = store.execute("SELECT public FROM links WHERE revoked_at IS NULL").fetchall()
    return PublicIdentity.from_bytes(public)


def traces(name: str, identity: PublicIdentity) -> dict[str, bytes]:
    """What must not be seen of a device."""
    keys = {
        "identity key": identity.identity_key,
        "ML-KEM key": identity.kem_key[:MLKEM_KEY_BYTES],
        "X25519 key": identity.kem_key[MLKEM_KEY_BYTES:],
        "device id, raw": base64.b32decode(identity.device.upper()),
    }
    written = {
        f"{what}, {how.__name__}": how(key)
        for what, key in keys.items()
        for how in (base64.b64encode, base64.b32encode)
    }
    hexadecimal = {f"{what}, hex": key.hex().encode() for what, key in keys.items()}
    short = {"device id": identity.device.encode(), "beginning of the id": identity.device[:8].encode()}
    return {"name": name.encode(), **keys, **written, **hexadecimal, **short}


def found(traces: dict[str, bytes], pieces: list[bytes]) -> list[str]:
    """Which of some traces are somewhere, in capitals or not."""
    haystack = b"\0".join(pieces)
    lower = haystack.lower()
    return [what for what, trace in traces.items() if trace in haystack or trace.lower() in lower]


def peers(peer: Peer) -> dict[str, bool]:
    """Whom a device sees or knows, and whether they are in sight."""
    return {str(item["name"]): bool(item["online"]) for item in peer.told("peers")["peers"]}


def sees(peer: Peer, name: str, *, address: str | None = None) -> None:
    """Wait until a device has another one in sight, at an address."""

    def there() -> bool | None:
        entries = [item for item in peer.told("peers")["peers"] if item["name"] == name and item["online"]]
        return any(address is None or address in item["addresses"] for item in entries) or None

    until(there, PATIENCE, f"{peer.name} sees {name}")


def work(user: Path) -> Path:
    folder = user / "work"
    folder.mkdir()
    (folder / FILE).write_text(CONTENT)
    return folder


class Stage:
    """A laptop with a second network, a desktop, and somebody else; only that one shows itself to everyone."""

    def __init__(self, lab: Lab, devices: Devices) -> None:
        self.net, self.office = lab.bridge("net"), lab.bridge("office")
        hosts = [lab.host(name, bridge=self.net) for name in ("zanzibar", "quetzal", "observer")]
        self.laptop_host: Host = hosts[0]
        self.laptop_host.attach(self.office)
        self.laptop, self.desktop, self.observer = (devices.on(host) for host in hosts)


def lives(stage: Stage) -> None:
    """Everything that two devices do on a network: start, link, hand over, change names, find again, hand back."""
    laptop, desktop, observer = stage.laptop, stage.desktop, stage.observer
    start(laptop, "--visible", "linked", "--engine", "aiortc")
    start(desktop, "--visible", "linked")
    start(observer, "--visible", "everyone")
    link(laptop, desktop)
    sees(laptop, "quetzal")
    sees(desktop, "zanzibar")
    sees(laptop, "observer")
    assert peers(observer) == {}
    laptop.ask("start", str(work(laptop.user)), "--title", TITLE)
    laptop.hand_over(TITLE, desktop)
    fresh = stage.net.next_address()
    stage.laptop_host.add_address("eth0", fresh)
    sees(desktop, "zanzibar", address=fresh.partition("/")[0])
    desktop.stop_agent()
    start(desktop, "--visible", "linked")
    sees(laptop, "quetzal")
    sees(desktop, "zanzibar")
    desktop.hand_over(TITLE, laptop)
    assert peers(observer) == {}


def test_who_records_everything_learns_no_name_no_id_no_title_and_no_other_address(
    lab: Lab, devices: Devices, tmp_path: Path
) -> None:
    stage = Stage(lab, devices)
    with Capture(stage.net, tmp_path / "all.pcap") as capture:
        lives(stage)
    payloads = capture.payloads()
    hidden = {
        "user": USER.encode(),
        "title": TITLE.encode(),
        "file": FILE.encode(),
        "content": CONTENT[:30].encode(),
        "home": str(stage.laptop.home).encode(),
    }
    for peer, other in ((stage.laptop, stage.desktop), (stage.desktop, stage.laptop)):
        hidden |= {f"{what} of {peer.name}": trace for what, trace in traces(peer.name, pinned(other)).items()}
    assert found(hidden, payloads.everything) == []
    judge_clear(stage, payloads)
    # The search finds what is there: the third device shows itself to everyone, and the two visited each other.
    shown = {"name": b"observer", "id": str(stage.observer.ask("whoami")["device"]).encode()}
    assert found(shown, payloads.everything) == ["name", "id"]
    assert found({"login": b"identity_key", "version": b"p2p-handoff"}, payloads.in_the_clear) == ["login", "version"]


def judge_clear(stage: Stage, payloads: Payloads) -> None:
    """What is readable says nothing of another network, and no name twice."""
    elsewhere = stage.laptop_host.addresses["eth1"]
    assert found({"bytes": elsewhere.packed, "text": str(elsewhere).encode()}, payloads.in_the_clear) == []
    assert found({"agent": b"user-agent", "server": b"server:"}, payloads.in_the_clear) == []
    labels = {label for data in payloads.in_the_clear for label in LABEL.findall(data)}
    assert len(labels) >= 5, "each of the two had a name before the link and after it, and one took another later"
    keys = [key for data in payloads.in_the_clear for key in re.findall(rb"identity_keyX (.{32})", data, re.DOTALL)]
    assert len(keys) == len(set(keys)) >= 3, "each visit has a key of its own"
