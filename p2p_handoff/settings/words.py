# SPDX-License-Identifier: Apache-2.0
"""Words that settings take and the command line offers; imports nothing. Layer: I/O ring.

Specification: docs/configuration.md.
"""

from __future__ import annotations

from typing import Final

ENGINES: Final = ("auto", "aiortc", "wrtc")
KEYS: Final = ("auto", "file", "keyring")
VISIBLE: Final = ("auto", "everyone", "linked", "nobody")
