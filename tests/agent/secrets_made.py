# SPDX-License-Identifier: Apache-2.0
"""Secrets for tests, put together at run time: none stands in the repository, so no scanner finds one there."""

from __future__ import annotations

from random import Random
from string import ascii_letters, ascii_uppercase, digits

_DICE = Random(4)
BASE64 = ascii_letters + digits + "+/"
WORDLESS = "0123456789qxzjkvwyQXZJKVWY"
"""No word comes out of these: a value with a word in it is forgiven by some rules."""


def letters(count: int, alphabet: str = WORDLESS) -> str:
    """Random letters; no two calls give the same."""
    return "".join(_DICE.choice(alphabet) for _ in range(count))


def github_token() -> bytes:
    """What a personal access token of GitHub looks like."""
    return ("gh" + "p_" + letters(36)).encode()


def aws_key() -> bytes:
    """The id of an AWS access key."""
    return ("AK" + "IA" + letters(16, ascii_uppercase + "234567")).encode()


def private_key(kind: str = "RSA ") -> bytes:
    """A private key in PEM."""
    body = "\n".join(letters(64, BASE64) for _ in range(12))
    return f"-----BEG{''}IN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----\n".encode()


def env_file() -> bytes:
    """A file of environment variables."""
    return f"DEBUG=1\nDB_PASSWORD={letters(16, WORDLESS.lower())}\n".encode()
