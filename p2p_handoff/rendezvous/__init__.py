# SPDX-License-Identifier: Apache-2.0
"""The client side of signaling. I/O ring."""
