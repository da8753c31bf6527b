# SPDX-License-Identifier: Apache-2.0
"""The agent's database, blobs and keys. I/O ring."""
