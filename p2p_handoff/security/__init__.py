# SPDX-License-Identifier: Apache-2.0
"""Identity, link codes, sealed envelopes, encrypted frames. Pure: entropy comes in as an argument."""
