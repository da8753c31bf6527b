# SPDX-License-Identifier: Apache-2.0
"""One key is changed, and nothing else."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff import NotFoundError, StorageError, UsageError
from p2p_handoff.settings.editing import File, alone, path_of, save, value_from, with_value, without
from p2p_handoff.settings.reading import read
from p2p_handoff.settings.toml_lines import KeyPath, key_text

COMMENTED = """\
# my settings
name = "laptop"   # the grey one

[policy.own]
push = "ask"      # for now

# whom I know
[device.desktop]
into = "~/From desktop"
"""


def file(text: str) -> File:
    return File(Path("/home/config.toml"), text)


def test_comments_and_order_stay() -> None:
    changed = with_value(file(COMMENTED), ("policy", "own", "push"), "refuse")
    assert changed == COMMENTED.replace('"ask" ', '"refuse" ')
    changed = with_value(file(COMMENTED), ("device", "desktop", "folder", "push"), "ask")
    assert changed == f'{COMMENTED}\n[device.desktop.folder]\npush = "ask"\n'


@pytest.mark.parametrize("text", ["", "# nothing yet\n", COMMENTED, "[device]\n", 'device.x.push = "ask"\n'])
@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("port",), 4000),
        (("handoff",), False),
        (("relays",), ["ws://a"]),
        (("device", 'anna\'s "phone" [1]', "take"), "accept"),
        (("device", "desktop", "conversation", "may_leave"), []),
        (("policy", "other", "folder", "into"), "~/x"),
        (("resume", "folder"), ["code", "{path}"]),
    ],
)
def test_any_key_can_be_set_in_any_file_and_taken_out_again(text: str, path: KeyPath, value: Any) -> None:
    changed = with_value(file(text), path, value)
    assert set(read(changed).values) == {*read(text).values, path}
    assert read(without(file(changed), path)).values == read(text).values


tables = st.sampled_from([("policy", "own"), ("policy", "other"), ("device", "a b"), ("device", "c")])
verdicts = st.sampled_from(["accept", "ask", "refuse"])


@given(st.lists(st.tuples(tables, st.sampled_from(["", "folder", "conversation"]), verdicts), max_size=6))
def test_what_was_set_holds_whatever_was_set_before(changes: list[tuple[KeyPath, str, str]]) -> None:
    text, expected = COMMENTED, dict(read(COMMENTED).values)
    for table, kind, verdict in changes:
        path = (*table, *([kind] if kind else []), "push")
        text = with_value(file(text), path, verdict)
        expected[path] = read(f'{key_text(path)} = "{verdict}"').values[path]
    assert read(text).values == expected
    assert all(line in text for line in COMMENTED.splitlines() if line.startswith("#"))


def test_a_table_is_taken_out_with_all_that_is_in_it() -> None:
    text = without(file(f'{COMMENTED}[device.desktop.folder]\npush = "ask"\n'), ("device", "desktop"))
    assert list(read(text).values) == [("name",), ("policy", "own", "push")]


def test_what_is_not_there_cannot_be_taken_out() -> None:
    with pytest.raises(NotFoundError, match="port is not set"):
        without(file(COMMENTED), ("port",))


@pytest.mark.parametrize("text", ["name = \n", 'colour = "red"\n'])
def test_a_file_with_a_mistake_elsewhere_is_not_changed(text: str) -> None:
    with pytest.raises(UsageError, match=r"config.toml:1:"):
        with_value(file(text), ("port",), 4000)


def test_a_mistake_can_be_mended_by_setting_what_is_wrong() -> None:
    assert with_value(file('port = "x"\n'), ("port",), 4000) == "port = 4000\n"


@pytest.mark.parametrize(
    ("key", "word", "value"),
    [
        ("name", "laptop", "laptop"),
        ("name", "5", "5"),
        ("name", '"laptop"', "laptop"),
        ("port", "4000", 4000),
        ("handoff", "false", False),
        ("max_pause", "0.5", 0.5),
        ("relays", "ws://a, ws://b", ["ws://a", "ws://b"]),
        ("relays", '["ws://a"]', ["ws://a"]),
        ("relays", "", []),
        ("device.x.may_leave", "messages", ["messages"]),
        ("receive_dir", "~/In", "~/In"),
        ("name", "x\ny = 1", "x\ny = 1"),
    ],
)
def test_a_value_is_understood_as_a_person_types_it(key: str, word: str, value: Any) -> None:
    assert value_from(path_of(key), word) == value


@pytest.mark.parametrize(
    ("key", "word", "words"),
    [
        ("port", "many", "port: must be a port number"),
        ("handoff", "yes", "handoff: must be true or false"),
        ("device.x.push", "acept", "did you mean 'accept'"),
        ("device.x.may_leave", "mesages,files", "'mesages' is none of"),
        ("policy.own", "ask", "policy.own is a table"),
        ("port", "", "port: must be a port number"),
    ],
)
def test_a_value_that_does_not_fit_is_explained(key: str, word: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        value_from(path_of(key), word)


@pytest.mark.parametrize(("key", "words"), [("colour", "colour: unknown setting"), ("a b", "'a b' is not a key")])
def test_a_key_that_is_none_is_explained(key: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        path_of(key)


def test_a_file_is_replaced_as_a_whole_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("old")
    path.chmod(0o644)
    with path.open() as held:
        save(path, "new")
        assert held.read() == "old"
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    real, link = tmp_path / "dotfiles" / "handoff.toml", tmp_path / "config.toml"
    real.write_text("old")
    link.symlink_to(real)
    save(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_what_cannot_be_written_is_an_error_and_leaves_what_was_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        save(tmp_path / "missing" / "config.toml", "new")


def test_one_command_at_a_time(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with alone(home):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        other = os.open(home, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)
    with alone(home):
        pass
