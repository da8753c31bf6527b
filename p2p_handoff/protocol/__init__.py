# SPDX-License-Identifier: Apache-2.0
"""HandoffV2 between two devices: messages, codec, states, connection. Pure: bytes in, events out."""
