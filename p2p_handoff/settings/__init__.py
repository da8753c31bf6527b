# SPDX-License-Identifier: Apache-2.0
"""The file ``config.toml``: what the user has chosen. I/O ring."""
