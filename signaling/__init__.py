# SPDX-License-Identifier: Apache-2.0
"""The relay: carries sealed envelopes between devices and knows nothing else."""
