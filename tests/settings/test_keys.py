# SPDX-License-Identifier: Apache-2.0
"""The tree of all keys, and that it agrees with what is made of it."""

from __future__ import annotations

from dataclasses import fields

import pytest

from p2p_handoff.adapters.conversation import ConversationAdapter
from p2p_handoff.adapters.folder import FolderAdapter
from p2p_handoff.session.policy import Rule
from p2p_handoff.settings.config import Settings
from p2p_handoff.settings.keys import KINDS, ROOT, Branch, Leaf, find, leaves, neighbours
from p2p_handoff.settings.toml_lines import KeyPath


def test_every_setting_is_a_key_and_every_key_a_setting() -> None:
    assert set(ROOT.children) == {field.name for field in fields(Settings)}


def test_every_matter_of_a_policy_can_be_set_for_devices_and_kinds() -> None:
    for path in (("policy", "own"), ("policy", "other"), ("device", "x")):
        node = find(path)
        assert isinstance(node, Branch)
        assert set(node.children) == {field.name for field in fields(Rule)} | set(KINDS)
        assert isinstance(find((*path, "folder", "push")), Leaf)


def test_the_kinds_are_those_of_the_adapters() -> None:
    assert set(KINDS) == {FolderAdapter.kind, ConversationAdapter.kind}


@pytest.mark.parametrize(
    "path", [("colour",), ("name", "x"), ("policy", "all"), ("device", "x", "pull"), ("resume", "x")]
)
def test_what_is_no_key_is_not_found(path: KeyPath) -> None:
    assert find(path) is None
    assert neighbours(path) or path == ("name", "x")


def test_the_keys_that_are_always_there_name_no_device_and_no_kind() -> None:
    listed = list(leaves())
    assert ("policy", "own", "push") in listed
    assert all(isinstance(find(path), Leaf) for path in listed)
    assert not any("device" in path or set(path[2:]) & set(KINDS) for path in listed)
