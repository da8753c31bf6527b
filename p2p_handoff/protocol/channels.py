# SPDX-License-Identifier: Apache-2.0
"""The two data channels of a connection. Layer: protocol, pure. Specification: docs/specs/transport.md §1."""

from __future__ import annotations

from enum import Enum


class Channel(Enum):
    """The value is the SCTP stream number that both sides agree on."""

    CONTROL = 0
    BULK = 2
