# SPDX-License-Identifier: Apache-2.0
"""Two devices speak the highest version that both know, or say which they know."""

from __future__ import annotations

import pytest

from p2p_handoff.errors import RemoteProtocolError, VersionError
from p2p_handoff.security.versions import MAX_VERSIONS, common_version, parse_versions


def test_the_highest_common_version_is_chosen() -> None:
    assert common_version((1, 2, 3), (2, 1, 9)) == 2


def test_a_version_error_names_both_sides() -> None:
    with pytest.raises(VersionError, match="this device speaks version 2, version 3 and the other one version 1"):
        common_version((3, 2), (1,))
    with pytest.raises(VersionError, match="the other one no version"):
        common_version((1,), ())


def test_a_version_list_is_read() -> None:
    assert parse_versions([1, 2]) == (1, 2)


@pytest.mark.parametrize("value", [None, 1, "1", ["1"], [True], list(range(MAX_VERSIONS + 1))])
def test_anything_else_is_no_version_list(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_versions(value)
