# SPDX-License-Identifier: Apache-2.0
"""The local API: schema, server, client. I/O ring."""
