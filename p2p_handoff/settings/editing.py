# SPDX-License-Identifier: Apache-2.0
"""Changes ``config.toml`` by one key, and keeps the user's comments and order. Layer: I/O ring.

Specification: docs/configuration.md, docs/cli.md §8. The only module that imports tomlkit, and late. What comes out
is read again and compared with what was wanted, before anything is written; a file is replaced as a whole or not at
all.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2p_handoff.errors import NotFoundError, StorageError, UsageError
from p2p_handoff.settings.keys import Leaf, find
from p2p_handoff.settings.reading import Document, complaint, read, unknown
from p2p_handoff.settings.toml_lines import KeyPath, key_text, parse_key


@dataclass(frozen=True, slots=True)
class File:
    """A settings file and what it says.

    Args:
        path: Where it is.
        text: What it says; empty where there is none.
    """

    path: Path
    text: str

    @property
    def document(self) -> Document:
        """What the text means."""
        return read(self.text)


def path_of(key: str) -> KeyPath:
    """A key as a person types it.

    Raises:
        UsageError: It is none, or no setting has it.
    """
    try:
        path = parse_key(key)
    except ValueError:
        advice = 'parts are joined by dots, and quoted where they hold other characters: device."anna\'s phone".push'
        raise UsageError(f"{key!r} is not a key", advice=advice) from None
    if find(path) is None:
        raise UsageError(f"{key}: {unknown(path)}")
    return path


def value_from(path: KeyPath, word: str) -> Any:
    """A value as a person types it on a command line, as TOML has it: quotes and brackets may be left away.

    Raises:
        UsageError: The setting does not take it, or is a table.
    """
    leaf = find(path)
    if not isinstance(leaf, Leaf):
        raise UsageError(f"{key_text(path)} is a table", advice="set a key in it")
    complaints: list[Exception] = []
    for candidate in _candidates(leaf, word):
        try:
            leaf.check(candidate)
        except (TypeError, ValueError, RuntimeError) as error:
            complaints.append(error)
        else:
            return candidate
    raise UsageError(f"{key_text(path)}: {complaints[-1]}", advice="docs/configuration.md has all keys and values")


def with_value(file: File, path: KeyPath, value: Any) -> str:
    """The file's text with one key set.

    Args:
        file: What there is.
        path: A key.
        value: As TOML has it.

    Raises:
        UsageError: The file has a mistake elsewhere, or is written in a way that cannot be changed by a command.
    """
    import tomlkit  # noqa: PLC0415 - start-up: only a change of the file needs it

    def change(table: Any) -> None:
        for index, name in enumerate(path[:-1]):
            if name not in table:
                table[name] = tomlkit.table(is_super_table=index < len(path) - 2)
            table = table[name]
        table[path[-1]] = value

    leaf = find(path)
    assert isinstance(leaf, Leaf)
    return _changed(file, change, lambda values: {**values, path: leaf.check(value)})


def without(file: File, path: KeyPath) -> str:
    """The file's text without a key, or without a table and all that is in it.

    Raises:
        NotFoundError: The file does not have it.
        UsageError: As for ``with_value``.
    """
    if path not in file.document.places and path not in file.document.values:
        raise NotFoundError(f"{key_text(path)} is not set in {file.path}", advice="'handoff config' shows what is")

    def change(table: Any) -> None:
        for name in path[:-1]:
            table = table[name]
        del table[path[-1]]

    kept = len(path)
    return _changed(file, change, lambda values: {key: said for key, said in values.items() if key[:kept] != path})


def _changed(
    file: File,
    change: Callable[[Any], None],
    expected: Callable[[Mapping[KeyPath, Any]], Mapping[KeyPath, Any]],
) -> str:
    import tomlkit  # noqa: PLC0415 - as above
    import tomlkit.exceptions  # noqa: PLC0415 - as above

    try:
        document = tomlkit.parse(file.text)
        change(document)
        text = tomlkit.dumps(document)
    except (tomlkit.exceptions.TOMLKitError, KeyError, TypeError, ValueError) as error:
        if file.document.mistakes:
            raise complaint(file.path, file.document.mistakes) from None
        raise _by_hand(file.path) from error
    made = read(text)
    if made.mistakes:
        raise complaint(file.path, made.mistakes)
    if made.values != expected(file.document.values):
        raise _by_hand(file.path)
    return text


def _by_hand(path: Path) -> UsageError:
    return UsageError(f"{path} is written in a way that no command can change", advice="use 'handoff config edit'")


def _candidates(leaf: Leaf, word: str) -> Iterator[Any]:
    """What a word may stand for; the last one has the clearest error."""
    with contextlib.suppress(ValueError, RecursionError):
        found = tomllib.loads(f"value = {word}")
        if set(found) == {"value"}:
            yield found["value"]
    if leaf.many:
        yield [item.strip() for item in word.split(",") if item.strip()]
    elif not word.startswith("["):
        yield word


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Keep other commands from changing the file of a home meanwhile.

    Raises:
        StorageError: The home cannot be used.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"the data directory {home} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def save(path: Path, text: str) -> None:
    """Replace a file as a whole, for this user alone; where it is a link, what the link leads to.

    Raises:
        StorageError: It cannot be written; what was there is there.
    """
    try:
        _replace(path.resolve(), text.encode())
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


def _replace(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
