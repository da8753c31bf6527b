# SPDX-License-Identifier: Apache-2.0
"""Where keys stand in a TOML document."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.settings.toml_lines import Place, key_places, key_text, parse_key

DOCUMENT = '''\
# [not.a.table]
name = "laptop" # port = 1
  port = 4

words = [ # a list
  "a = 1", # with a comment ]
  """[b]
c = 2 \\""" """,
]
text = """
fake = "key"
""""" # two quotes of its own
raw = \'\'\'
also = 'none'
\'\'\'
inline = { a = 1, b = { c = "}" } }

[policy.own]
push = "ask"
[ device . "my \\"phone\\" [x]" ] # a table
take = "ask"
"quoted # key".b = 1
[[many]]
one = 1
[[many]]
one = 2
'''


def test_every_statement_has_its_place_whatever_stands_in_texts_and_lists() -> None:
    places = {key_text(path): (place.line, place.column) for path, place in key_places(DOCUMENT).items()}
    phone = '"my \\"phone\\" [x]"'
    assert places == {
        "name": (2, 1),
        "port": (3, 3),
        "words": (5, 1),
        "text": (10, 1),
        "raw": (13, 1),
        "inline": (16, 1),
        "policy": (18, 1),
        "policy.own": (18, 1),
        "policy.own.push": (19, 1),
        "device": (20, 1),
        f"device.{phone}": (20, 1),
        f"device.{phone}.take": (21, 1),
        f'device.{phone}."quoted # key"': (22, 1),
        f'device.{phone}."quoted # key".b': (22, 1),
        "many": (23, 1),
        "many.one": (24, 1),
    }
    assert tomllib.loads(DOCUMENT)["inline"] == {"a": 1, "b": {"c": "}"}}


def test_line_ends_of_other_systems_count_as_one() -> None:
    assert key_places("a = 1\r\nb = 2\r\n")[("b",)] == Place(2, 1)


names = st.text(min_size=1, max_size=8)
values = st.recursive(
    st.integers(0, 9) | st.booleans() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)
documents = st.recursive(
    st.dictionaries(names, values, max_size=4),
    lambda inner: st.dictionaries(names, values | inner, max_size=3),
    max_leaves=5,
)


def paths(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in table.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from paths(value, (*above, name))


@given(documents)
def test_every_key_of_any_document_is_found(document: dict[str, Any]) -> None:
    text = tomlkit.dumps(document)
    found = key_places(text)
    lines = text.split("\n")
    assert set(found) == set(paths(tomllib.loads(text)))
    assert all(lines[place.line - 1][place.column - 1] != " " for place in found.values())


@given(st.lists(names, min_size=1, max_size=3).map(tuple))
def test_a_key_that_is_written_is_read_again(path: tuple[str, ...]) -> None:
    assert parse_key(key_text(path)) == path


@pytest.mark.parametrize(
    "text", ["", "a b", "a.", ".a", "a = 1\nb", "[a]", "a=1", 'a."', "#", "a#", "a # b", "a\n", "é"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        parse_key(text)
