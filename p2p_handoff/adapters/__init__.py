# SPDX-License-Identifier: Apache-2.0
"""Parts of a session and the real things on disk. I/O ring."""
