# SPDX-License-Identifier: Apache-2.0
"""A trace shows what is worth reading, and has a name of its own."""

from __future__ import annotations

from p2p_handoff.testing.trace import Trace


def test_lines_say_when_who_and_what() -> None:
    trace = Trace(lambda: 1.5)
    trace.note("laptop", "starts")
    trace.event("laptop", "handoff", {"txn": "abcdefghij", "outcome": "done", "text": "", "into": ["/tmp/x"]})
    trace.event("laptop", "progress", {"txn": "abcdefghij", "bytes": 7})
    assert trace.lines == ["    1.500000  laptop     starts", "    1.500000  laptop     * handoff abcdef outcome=done"]
    assert trace.text(1) == trace.lines[1]


def test_other_lines_have_another_digest() -> None:
    one, other = Trace(lambda: 0.0), Trace(lambda: 0.0)
    for trace in (one, other):
        trace.note("laptop", "starts")
    assert one.digest() == other.digest()
    other.note("laptop", "stops")
    assert one.digest() != other.digest()
