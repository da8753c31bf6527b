# SPDX-License-Identifier: Apache-2.0
"""One running agent: composition of everything below."""
