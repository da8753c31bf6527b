# SPDX-License-Identifier: Apache-2.0
"""The settings file: every key checked, every mistake named."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from p2p_handoff import Settings, UsageError
from p2p_handoff.session.manifest import PartType
from p2p_handoff.session.policy import General, Rule, Table, Verdict
from p2p_handoff.settings.config import CONFIG_NAME, Turn, default_name, load

EVERYTHING = """
name = "laptop"
handoff = false
engine = "aiortc"
keys = "file"
receive_dir = "/srv/handoff"
mdns = false
visible = "nobody"
relays = ["wss://relay.example/v1"]
peers = ["192.0.2.7:4000"]
stun = ["stun:192.0.2.8:3478"]
port = 4000
max_pause = 1
keep_generations = 9
[turn]
servers = ["turn:192.0.2.8:3478"]
user = "somebody"
credential_file = "/srv/secret"
[resume]
folder = ["code", "{path}"]
[policy.own]
push = "ask"
[device."my phone"]
take = "accept"
may_leave = ["messages"]
[device."my phone".folder]
into = "/srv/phone"
"""


def written(home: Path, text: str) -> Path:
    (home / CONFIG_NAME).write_text(text, encoding="utf-8")
    return home


def test_without_a_file_everything_has_a_default(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings == Settings(name=default_name())
    assert settings.name
    assert (settings.handoff, settings.mdns, settings.engine, settings.port) == (True, True, "auto", 0)


def test_every_setting_can_be_written(tmp_path: Path) -> None:
    settings = load(written(tmp_path, EVERYTHING))
    assert settings == Settings(
        name="laptop",
        handoff=False,
        engine="aiortc",
        keys="file",
        receive_dir=Path("/srv/handoff"),
        mdns=False,
        visible="nobody",
        relays=("wss://relay.example/v1",),
        peers=("192.0.2.7:4000",),
        stun=("stun:192.0.2.8:3478",),
        port=4000,
        max_pause=1.0,
        keep_generations=9,
        turn=Turn(("turn:192.0.2.8:3478",), "somebody", Path("/srv/secret")),
        resume={"folder": ("code", "{path}")},
        policy=General(own=Table(Rule(push=Verdict.ASK))),
        device={
            "my phone": Table(
                Rule(take=Verdict.ACCEPT, may_leave=frozenset((PartType.MESSAGES,))),
                {"folder": Rule(into="/srv/phone")},
            )
        },
    )
    assert all(f"{item.name} = " in EVERYTHING or f"[{item.name}" in EVERYTHING for item in fields(Settings))


def test_a_home_directory_may_be_written_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load(written(tmp_path, 'receive_dir = "~/in"')).receive_dir == Path("/home/somebody/in")


@pytest.mark.parametrize(
    ("line", "clause"),
    [
        ('colour = "red"', "config.toml:1:1: colour: unknown setting; known are name, "),
        ('handoff = "yes"', "handoff: must be true or false"),
        ('visible = "friends"', "visible: must be auto, everyone, linked or nobody"),
        ("visible = [1]", "visible: must be auto, everyone, linked or nobody"),
        ('engine = "warp"', "engine: must be auto, aiortc or wrtc"),
        ('receive_dir = "here"', "receive_dir: must be an absolute path"),
        ("relays = [1]", "relays: must be a text"),
        ('peers = "a:1"', "peers: must be a list"),
        ("port = 70000", "port: must be a port number"),
        ("port = true", "port: must be a port number"),
        ("max_pause = 0", "max_pause: must be seconds"),
        ("max_pause = nan", "max_pause: must be seconds"),
        ("max_pause = true", "max_pause: must be seconds"),
        ("keep_generations = -1", "keep_generations: must be a number between 0 and 1000"),
        ("keep_generations = true", "keep_generations: must be a number"),
        ('name = ""', "name: must be a text"),
        (f'name = "{"x" * 201}"', "name: must be a text of at most 200 characters"),
        ("resume = 3", "resume: must be a table"),
        ('resume = { folder = "rm -rf" }', "resume.folder: must be a list"),
        ("name = ", "not valid TOML"),
        (f"port = {'9' * 5000}", "not valid TOML"),
        (f"peers = {'[' * 5000}", "not valid TOML"),
        ('receive_dir = "~nobody-of-this-name/x"', "receive_dir: "),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, line: str, clause: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(written(tmp_path, line))
    assert clause in caught.value.what
    assert str(tmp_path) in caught.value.what


def test_a_file_that_is_not_text_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / CONFIG_NAME).write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path)
