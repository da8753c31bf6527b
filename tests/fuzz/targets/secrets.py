# SPDX-License-Identifier: Apache-2.0
"""Target: whatever lies in a folder, searched for secrets."""

from __future__ import annotations

from functools import cache
from typing import Final

from p2p_handoff.content.secret_rules import shipped
from p2p_handoff.content.secret_search import Patterns, Searcher, entropy
from tests.agent.secrets_made import aws_key, env_file, github_token, private_key
from tests.fuzz.target import Shape, Target, must

_PLANTED: Final = github_token()
_RULE: Final = "github-pat"


@cache
def _searcher() -> Searcher:
    return Patterns(shipped()).searcher()


def _searched(data: bytes) -> bool:
    """A path of up to 255 bytes, a cut, and what lies there."""
    searcher = _searcher()
    size, cut = (data[0], data[1]) if len(data) > 1 else (0, 0)
    path, content = data[2 : 2 + size], data[2 + size :]
    scope = searcher.scope(path)
    found = searcher.search([content], scope)
    must(searcher.search([content[:cut], content[cut:]], scope) == found, "where a file is cut changes what is found")
    planted = searcher.search([content, b"\n" + _PLANTED + b"\n", content], scope)
    must(_RULE in planted, "a token is hidden by what lies around it")
    must(0 <= entropy(content or b"x") <= 8, "entropy out of bounds")
    return bool(found)


def _seeds() -> list[bytes]:
    places = {
        b"id_rsa": private_key(),
        b"app/.env": env_file(),
        b".aws/credentials": b"[default]\naws_access_key_id = " + aws_key() + b"\n",
        b"notes.txt": b"nothing to see\n" * 20,
        b"src/main.py": b"TOKEN = '" + github_token() + b"'\n",
    }
    _searcher()  # Building it takes a second, which is none of the first input's.
    return [bytes([len(path), 40]) + path + content for path, content in places.items()]


TARGETS = (
    Target(
        "secrets",
        "found or not, wherever a file is cut; no content hides a token beside it; linear time",
        _searched,
        Shape.RAW,
        _seeds,
        16_384,
    ),
)
