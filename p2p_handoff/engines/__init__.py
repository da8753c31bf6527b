# SPDX-License-Identifier: Apache-2.0
"""WebRTC implementations behind one interface. I/O ring."""
