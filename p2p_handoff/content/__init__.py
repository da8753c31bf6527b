# SPDX-License-Identifier: Apache-2.0
"""Content by digest: chunks, trees, differences. Pure."""
