# SPDX-License-Identifier: Apache-2.0
"""Finding peers on the local network. I/O ring."""
