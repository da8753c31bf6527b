# SPDX-License-Identifier: Apache-2.0
"""Good session descriptions, as both engines write them, and the bodies that carry them."""

from __future__ import annotations

from typing import Final

from p2p_handoff.security.exchange import AnswerPublic, OfferPublic
from p2p_handoff.security.offers import SdpAnswer, SdpOffer, SdpRefusal

_FINGERPRINT: Final = ":".join(f"{number:02X}" for number in range(32))

AIORTC: Final = "\r\n".join(
    (
        "v=0",
        "o=- 3971234567 3971234567 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=msid-semantic:WMS *",
        "m=application 51234 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 192.0.2.7",
        "a=mid:0",
        "a=sctp-port:5000",
        "a=max-message-size:65536",
        "a=candidate:0fb8 1 udp 2130706431 192.0.2.7 51234 typ host",
        "a=candidate:1c3d 1 udp 1694498815 203.0.113.9 40000 typ srflx raddr 192.0.2.7 rport 51234",
        "a=candidate:2e4f 1 udp 2130706431 2001:db8::7 51235 typ host",
        "a=end-of-candidates",
        "a=ice-ufrag:AbCd",
        "a=ice-pwd:0123456789abcdefghijkl",
        f"a=fingerprint:sha-256 {_FINGERPRINT}",
        "a=setup:actpass",
        "",
    )
)
NATIVE: Final = "\r\n".join(
    (
        "v=0",
        "o=- 4611731400430051336 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=extmap-allow-mixed",
        "a=msid-semantic: WMS",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=candidate:3 1 udp 2122260223 192.0.2.7 60000 typ host generation 0 network-id 1",
        "a=candidate:4 1 udp 2122260223 3f2a.local 60001 typ host generation 0 network-id 2",
        "a=ice-ufrag:x+Y/",
        "a=ice-pwd:0123456789abcdefghijklmn",
        "a=ice-options:trickle",
        f"a=fingerprint:sha-256 {_FINGERPRINT}",
        "a=setup:active",
        "a=mid:0",
        "a=sctp-port:5000",
        "a=max-message-size:262144",
        "",
    )
)


def bodies() -> list[bytes]:
    """Offer, answer and refusal."""
    offer, answer = OfferPublic(bytes(32), bytes(1184)), AnswerPublic(bytes(32), bytes(1088))
    return [
        SdpOffer(AIORTC, "aiortc", offer, (2,)).to_bytes(),
        SdpAnswer(NATIVE, "wrtc", answer, (1, 2, 3)).to_bytes(),
        SdpRefusal("busy", "later").to_bytes(),
    ]
