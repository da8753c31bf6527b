# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff import errors
from p2p_handoff.control.schema import (
    MAX_LINE,
    PROTOCOL,
    decode,
    encode,
    error_line,
    read_request,
    rebuild_error,
    request_line,
)
from p2p_handoff.errors import HandoffError, RejectedError, RemoteProtocolError, VersionError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def every_error() -> list[type[HandoffError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HandoffError)]


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_a_line_comes_back_as_it_was(fields: dict[str, object]) -> None:
    line = encode(fields)
    assert line.count(b"\n") == 1
    assert decode(line) == fields


def test_a_path_that_is_not_utf8_survives() -> None:
    path = b"/caf\xe9".decode("utf-8", "surrogateescape")
    assert decode(encode({"path": path})) == {"path": path}


def test_a_line_that_is_too_long_is_refused_on_both_sides() -> None:
    with pytest.raises(RemoteProtocolError, match="too long"):
        encode({"text": "x" * MAX_LINE})
    with pytest.raises(RemoteProtocolError, match="too long"):
        decode(b'"' + b"x" * MAX_LINE + b'"')


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"1", b"\xff", b"[" * 100_000])
def test_a_line_that_is_no_object_is_refused(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(line)


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"Infinity", b"-Infinity", b"NaN"])
def test_a_number_that_json_does_not_have_is_refused(number: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="not JSON"):
        decode(b'{"max_pause": ' + number + b"}")


def test_a_request_is_read_as_it_was_written() -> None:
    assert read_request(request_line("to", {"peer": "desktop"}, interactive=True)) == ("to", {"peer": "desktop"}, True)


@pytest.mark.parametrize("version", [None, 0, PROTOCOL + 1, "1", True, 1.0])
def test_another_version_is_refused_in_words(version: object) -> None:
    with pytest.raises(VersionError, match=f"version {version}.* the agent version {PROTOCOL}"):
        read_request({"protocol": version, "command": "peers"})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"command": 1},
        {"command": ""},
        {"command": "x" * 65},
        {"command": "x", "args": []},
        {"command": "x", "interactive": 1},
    ],
)
def test_a_malformed_request_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        read_request({"protocol": PROTOCOL, **fields})


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_an_error_comes_back_as_its_own_class(kind: type[HandoffError]) -> None:
    error = kind("it broke", state="the session is here", advice="try again")
    fields = decode(encode(error_line(error)))["error"]
    rebuilt = rebuild_error(fields)
    assert type(rebuilt) is kind
    assert rebuilt.sentence == error.sentence == fields["message"]
    assert fields["exit_code"] == error.exit_code


def test_the_reason_of_a_rejection_travels() -> None:
    rebuilt = rebuild_error(error_line(RejectedError("no", reason="busy"))["error"])
    assert isinstance(rebuilt, RejectedError)
    assert rebuilt.reason == "busy"


def test_an_error_of_a_newer_agent_keeps_its_exit_code() -> None:
    rebuilt = rebuild_error({"code": "from-the-future", "exit_code": 6, "what": "it broke"})
    assert rebuilt.exit_code == 6
    assert rebuilt.what == "it broke"


@pytest.mark.parametrize("fields", [None, [], "text", {}, {"code": [], "exit_code": {}, "what": 1}])
def test_nonsense_in_place_of_an_error_is_still_an_error(fields: object) -> None:
    assert rebuild_error(fields).sentence


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in every_error()]
    assert len(set(codes)) == len(codes)
