# SPDX-License-Identifier: Apache-2.0
"""A link code as a QR code in the terminal. Layer: cli. Specification: docs/specs/link.md §2."""

from __future__ import annotations

import io

from p2p_handoff.security.words import URI_SCHEME


def qr_code(code: str) -> str:
    """Lines of half blocks that a camera reads as ``handoff:CODE``; dark on light whatever the terminal's colours.

    Args:
        code: As it is shown, such as ``7-velvet-sausage``.
    """
    import segno  # noqa: PLC0415 - only where a code is shown on a terminal

    drawn = io.StringIO()
    segno.make(URI_SCHEME + code, error="m", micro=False).terminal(drawn, border=2, compact=True)
    return drawn.getvalue()
