# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from p2p_handoff.control.private_directory import check_directory, prepare_directory
from p2p_handoff.errors import TrustError, UsageError


def test_a_missing_directory_is_made_for_this_user_alone(tmp_path: Path) -> None:
    prepare_directory(tmp_path / "run" / "agent.sock")
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_only_the_last_directory_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be made"):
        prepare_directory(tmp_path / "absent" / "run" / "agent.sock")


@pytest.mark.parametrize("mode", [0o710, 0o701, 0o770])
def test_a_directory_that_others_may_enter_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(TrustError) as caught:
        prepare_directory(tmp_path / "agent.sock")
    assert f"chmod 700 {tmp_path}" in caught.value.advice


def test_a_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to("real")
    with pytest.raises(TrustError):
        check_directory(tmp_path / "run" / "agent.sock")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    os.chown(tmp_path / "run", 65534, 65534)
    with pytest.raises(TrustError):
        check_directory(tmp_path / "run" / "agent.sock")
