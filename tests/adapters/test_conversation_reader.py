# SPDX-License-Identifier: Apache-2.0
"""Reading a growing file: only what is new, never torn, and every rewrite noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2p_handoff.adapters import beneath, conversation_reader
from p2p_handoff.adapters.conversation_reader import Sighting, look
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import ContentGoneError, PathError, UsageError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "chat.jsonl"
    path.write_bytes(b"one\ntwo\n")
    return path


def _settled() -> int:
    """A clock that runs ahead, so that every file has rested."""
    return 2**62


def _sight(path: Path, *, settled: bool = True) -> Sighting:
    return look(path, None, thorough=True, clock=_settled if settled else lambda: 0).sighting


def _large(path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(conversation_reader, "_ALWAYS_HASHED", 200_000)
    data = os.urandom(400_000)
    path.write_bytes(data)
    return data


def test_the_first_look_reads_everything(file: Path) -> None:
    reading = look(file, None, thorough=False)
    assert reading.rewritten == b"one\ntwo\n"
    assert reading.sighting.text == digest(b"one\ntwo\n")


def test_a_settled_file_with_an_equal_stat_is_not_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = _sight(file)
    monkeypatch.setattr(beneath, "read_range", lambda *_: pytest.fail("the file was read"))
    reading = look(file, known, thorough=True)
    assert (reading.grown, reading.rewritten) == (b"", None)


def test_a_file_written_just_now_is_read_again_whatever_its_stat(file: Path) -> None:
    known = _sight(file, settled=False)
    status = file.stat()
    file.write_bytes(b"ONE\ntwo\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert look(file, known, thorough=False).rewritten == b"ONE\ntwo\n"


def test_growth_is_read_alone(file: Path) -> None:
    known = _sight(file)
    with file.open("ab") as opened:
        opened.write(b"three\n")
    reading = look(file, known, thorough=False)
    assert (reading.grown, reading.rewritten) == (b"three\n", None)
    assert reading.sighting.text == digest(b"one\ntwo\nthree\n")


@pytest.mark.parametrize("data", [b"one\n", b"ONE\ntwo\nthree\n", b""])
def test_a_rewrite_is_read_whole(file: Path, data: bytes) -> None:
    known = _sight(file)
    file.write_bytes(data)
    assert look(file, known, thorough=False).rewritten == data


def test_growth_of_a_large_file_is_found_by_sample(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _large(file, monkeypatch)
    known = _sight(file)
    with file.open("ab") as opened:
        opened.write(b"more\n")
    monkeypatch.setattr(conversation_reader, "_blocks", lambda *_: pytest.fail("the beginning was hashed"))
    reading = look(file, known, thorough=False)
    assert reading.grown == b"more\n"
    assert reading.sighting.text == digest(data + b"more\n")


@pytest.mark.parametrize("at", [0, 399_990])
def test_a_large_file_rewritten_at_either_end_is_noticed_by_sample(
    file: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    data = bytearray(_large(file, monkeypatch))
    known = _sight(file)
    data[at] ^= 1
    file.write_bytes(data + b"more\n")
    assert look(file, known, thorough=False).rewritten == bytes(data) + b"more\n"


def test_a_thorough_look_misses_no_byte_of_a_large_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(_large(file, monkeypatch))
    known = _sight(file)
    offsets = {offset for offset, _ in known.samples}
    data[next(at for at in range(5_000, 400_000) if not any(o <= at < o + 4096 for o in offsets))] ^= 1
    file.write_bytes(data + b"more\n")
    assert look(file, known, thorough=False).grown == b"more\n"
    assert look(file, known, thorough=True).rewritten == bytes(data) + b"more\n"


def test_a_large_file_under_another_inode_is_never_sampled(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(_large(file, monkeypatch))
    known = _sight(file)
    data[6_000] ^= 1
    replacement = file.with_name("new")
    replacement.write_bytes(data + b"more\n")
    replacement.rename(file)
    assert look(file, known, thorough=False).rewritten == bytes(data) + b"more\n"


def _meddle(monkeypatch: pytest.MonkeyPatch, times: int, change: object) -> None:
    real, left = beneath.read_range, [times]

    def read(descriptor: int, offset: int, length: int) -> bytes:
        data = real(descriptor, offset, length)
        if left[0]:
            left[0] -= 1
            assert callable(change)
            change()
        return data

    monkeypatch.setattr(beneath, "read_range", read)


def test_a_file_that_changes_while_it_is_read_is_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _meddle(monkeypatch, 1, lambda: file.write_bytes(b"other\n"))
    assert look(file, None, thorough=False).rewritten == b"other\n"


def test_a_file_that_is_always_appended_to_is_shown_as_it_was_a_moment_ago(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def append() -> None:
        with file.open("ab") as opened:
            opened.write(b"more\n")

    _meddle(monkeypatch, 100, append)
    reading = look(file, None, thorough=False)
    assert reading.rewritten == b"one\ntwo\n" + b"more\n" * 4
    assert reading.sighting.fingerprint is None


def test_a_file_that_is_always_rewritten_is_an_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _meddle(monkeypatch, 100, lambda: file.write_bytes(os.urandom(8)))
    with pytest.raises(ContentGoneError, match="faster"):
        look(file, None, thorough=False)


def test_a_missing_file_or_folder_is_gone(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path / "no folder" / "none.jsonl"):
        with pytest.raises(ContentGoneError, match="is gone"):
            look(path, None, thorough=False)


def test_a_link_is_not_followed(file: Path) -> None:
    link = file.with_name("link.jsonl")
    link.symlink_to(file)
    with pytest.raises(PathError):
        look(link, None, thorough=False)


def test_a_file_beyond_the_bound_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation_reader, "MAX_CONVERSATION", 7)
    with pytest.raises(UsageError, match="more than the 7"):
        look(file, None, thorough=False)
