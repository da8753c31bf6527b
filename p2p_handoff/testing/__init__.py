# SPDX-License-Identifier: Apache-2.0
"""Public test kit: conformance suites, faulty links, clocks."""
