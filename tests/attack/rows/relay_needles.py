# SPDX-License-Identifier: Apache-2.0
"""What no relay may see in the clear."""

from __future__ import annotations

from typing import Final

import ifaddr

_SDP: Final = (b"candidate", b"fingerprint", b"ice-ufrag", b"ice-pwd", b"DTLS/SCTP", b"max-message", b"sctp-port")


def needles_of(*words: str) -> frozenset[bytes]:
    """Words of session descriptions, the addresses of this machine, and further words."""
    addresses = {
        str(ip.ip).encode()
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if ip.is_IPv4 and not str(ip.ip).startswith("127.")
    }
    return frozenset({*_SDP, *addresses, *(word.encode() for word in words)})
