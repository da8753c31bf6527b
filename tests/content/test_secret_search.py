# SPDX-License-Identifier: Apache-2.0
"""Searching bytes for credentials: what is found, where, and what is left in peace."""

from __future__ import annotations

import math
import sysconfig
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_handoff.content.secret_rules import shipped
from p2p_handoff.content.secret_search import Patterns, entropy
from p2p_handoff.limits import SECRET_OVERLAP, SECRET_WINDOW
from tests.agent.secrets_made import aws_key, env_file, github_token, letters, private_key

SEARCHER = Patterns(shipped()).searcher()
BASE64 = letters(86)


def kinds(path: str, *blocks: bytes) -> set[str]:
    return set(SEARCHER.search(blocks, SEARCHER.scope(path.encode())))


def url(password: str) -> bytes:
    return f"https://me:{password}@example.org/project.git\n".encode()


@pytest.mark.parametrize(
    ("path", "data", "kind"),
    [
        ("id_rsa", private_key(), "private-key"),
        ("id_ed25519", private_key("OPENSSH "), "private-key"),
        ("app.so", b"\x7fELF\0\xff" + private_key("EC ") + b"\0\xfe", "private-key"),
        ("account.json", b'{"private_key": "' + private_key("").replace(b"\n", b"\\n") + b'"}', "private-key"),
        ("notes.md", b"use " + github_token() + b" for that", "github-pat"),
        ("notes.md", b"key " + aws_key() + b" ", "aws-access-token"),
        ("credentials", b"aws_secret_access_key = " + letters(40).encode() + b"\n", "aws-secret-access-key"),
        ("x.py", b'"AccountKey=' + BASE64.encode() + b'=="', "azure-storage-key"),
        (".env", env_file(), "env-secret"),
        ("deploy/.env.production", b"export API_TOKEN='" + letters(20).encode() + b"'\n", "env-secret"),
        (".git/config", b"[remote]\n\turl = " + url(letters(12)), "url-password"),
        (".git-credentials", url(letters(12)), "url-password"),
        ("home/.netrc", b"machine example.org\n  login me\n  password " + letters(9).encode() + b"\n", "netrc"),
        (".npmrc", b"//registry.example.org/:_authToken=" + letters(36).encode() + b"\n", "registry-login"),
        (".pgpass", b"db.example.org:5432:main:me:" + letters(9).encode() + b"\n", "pgpass"),
        ("app/config.yml", b"api_key: '" + letters(32).encode() + b"'\n", "generic-api-key"),
        ("cert.p12", b"\0", "pkcs12-file"),
        ("release.jks", b"\0", "key-store"),
    ],
)
def test_what_is_found(path: str, data: bytes, kind: str) -> None:
    assert kinds(path, data) == {kind}


@pytest.mark.parametrize(
    ("path", "data"),
    [
        (".env", b"DB_PASSWORD=changeme\nAPI_KEY=<your key>\nTOKEN=${TOKEN}\nSECRET=\nDEBUG=1\n"),
        (".env.example", b"DB_PASSWORD=your-password-here\n"),
        ("README.md", url(letters(12))),
        ("main.py", b"password = '" + letters(20).encode() + b"'\n"),
        ("main.py", b"key = X25519PrivateKey.generate()\n"),
        ("docs.md", b"-----BEGIN PUBLIC KEY-----\n" + letters(64).encode() + b"\n-----END PUBLIC KEY-----\n"),
        ("notes.md", b"AK" + b"IA" + b"IOSFODNN7EXAMPLE"),
        (".git/config", b"[remote]\n\turl = git@example.org:me/project.git\n"),
        ("empty", b""),
    ],
)
def test_what_is_left_in_peace(path: str, data: bytes) -> None:
    assert not kinds(path, data)


@pytest.mark.parametrize("before", [0, 10, SECRET_WINDOW - 20, SECRET_WINDOW, 2 * SECRET_WINDOW - SECRET_OVERLAP - 5])
@pytest.mark.parametrize("block", [1 << 16, 1 << 18, 3 << 20])
def test_a_secret_is_found_wherever_it_lies_and_however_its_file_is_cut(before: int, block: int) -> None:
    data = bytes(before) + private_key() + bytes(100)
    assert kinds("x", *(data[start : start + block] for start in range(0, len(data), block))) == {"private-key"}


@settings(max_examples=50)
@given(st.binary(max_size=2000), st.binary(max_size=200))
def test_any_bytes_and_any_path_can_be_searched(data: bytes, path: bytes) -> None:
    SEARCHER.search([data], SEARCHER.scope(path))


def test_entropy_is_shannons() -> None:
    assert entropy(b"aaaa") == 0
    assert entropy(b"abcd") == 2
    assert math.isclose(entropy(b"aab"), 0.9182958340544896)


def test_ordinary_source_code_gives_no_alarm() -> None:
    """The standard library as it is installed, its own tests apart: they are full of keys made for them."""
    library = Path(sysconfig.get_path("stdlib"))
    alarms: Counter[str] = Counter()
    searched = 0
    for file in sorted(library.rglob("*.py")):
        inside = file.relative_to(library)
        if inside.parts[0] not in {"site-packages", "dist-packages", "test"}:
            searched += 1
            alarms.update(SEARCHER.search([file.read_bytes()], SEARCHER.scope(str(inside).encode())))
    assert searched > 400
    assert alarms.total() * 1000 <= searched, alarms


def test_a_lock_file_of_node_gives_no_alarm() -> None:
    package = '"node_modules/{0}": {{"version": "1.2.3", "resolved": "https://registry.example.org/{0}.tgz", '
    package += '"integrity": "sha512-{1}==", "dependencies": {{"token-types": "^1.0.0", "key-tree": "^4.1.1"}}}},\n'
    text = "".join(package.format(f"secret-{letters(8).lower()}", letters(86)) for _ in range(2000))
    assert not kinds("package-lock.json", text.encode())
