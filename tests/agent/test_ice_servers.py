# SPDX-License-Identifier: Apache-2.0
"""STUN and TURN servers, and the file with the password."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from p2p_handoff import Settings, TrustError, UsageError
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.ice_servers import ice_servers
from p2p_handoff.engines.base import IceServer
from p2p_handoff.settings.config import CREDENTIAL_NAME, Turn

TURN = Turn(("turn:192.0.2.7:3478", "turns:192.0.2.7:5349"), "somebody")
BASE = Settings(name="laptop", stun=("stun:192.0.2.8:3478",), mdns=False)
WITH_TURN = replace(BASE, turn=TURN)


def credential(place: Path, text: str, mode: int = 0o600) -> Path:
    place.write_text(text)
    place.chmod(mode)
    return place


def test_stun_needs_no_account(tmp_path: Path) -> None:
    assert ice_servers(BASE, tmp_path) == [IceServer("stun:192.0.2.8:3478")]


def test_turn_servers_get_the_user_and_what_the_file_says(tmp_path: Path) -> None:
    credential(tmp_path / CREDENTIAL_NAME, "a secret of mine \n")
    assert ice_servers(WITH_TURN, tmp_path)[1:] == [
        IceServer(url, "somebody", "a secret of mine") for url in TURN.servers
    ]


def test_another_file_may_be_named(tmp_path: Path) -> None:
    place = credential(tmp_path / "elsewhere", "secret")
    settings = replace(WITH_TURN, turn=replace(TURN, credential_file=place))
    assert ice_servers(settings, tmp_path)[1].credential == "secret"


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    credential(tmp_path / CREDENTIAL_NAME, "secret", 0o640)
    with pytest.raises(TrustError, match="other users may read") as caught:
        ice_servers(WITH_TURN, tmp_path)
    assert "chmod 600" in caught.value.advice
    assert "secret" not in caught.value.sentence


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_what_is_missing_is_named_with_what_writes_it(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        credential(tmp_path / CREDENTIAL_NAME, text)
    with pytest.raises(UsageError, match=CREDENTIAL_NAME) as caught:
        ice_servers(WITH_TURN, tmp_path)
    assert "handoff config credential" in caught.value.advice


def test_a_directory_in_its_place_is_explained(tmp_path: Path) -> None:
    (tmp_path / CREDENTIAL_NAME).mkdir(mode=0o700)
    with pytest.raises(UsageError, match="cannot be read"):
        ice_servers(WITH_TURN, tmp_path)


def test_a_server_without_a_user_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="need a user name"):
        ice_servers(replace(BASE, turn=Turn(TURN.servers)), tmp_path)


async def test_an_agent_does_not_start_without_the_password_it_is_to_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=CREDENTIAL_NAME):
        await Agent(tmp_path / "home", settings=WITH_TURN).__aenter__()
