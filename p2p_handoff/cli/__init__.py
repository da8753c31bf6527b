# SPDX-License-Identifier: Apache-2.0
"""The command line: speaks to an agent through control.client only."""
