# SPDX-License-Identifier: Apache-2.0
"""Names that a person may take for another one are found, whatever they are written with."""

from __future__ import annotations

import pytest

from p2p_handoff.ids import DeviceId
from p2p_handoff.security.names import cleaned, looks_like, skeleton, told_apart

PEER = DeviceId("abcdefgh" + "i" * 24)


@pytest.mark.parametrize(
    "imitation",
    [
        "laptop",
        "LAPTOP",
        " laptop ",
        "laptop\u200b",
        "lap\u00adtop",
        "\u202elaptop",
        "laptop\u2066",
        "lapt\u043ep",
        "l\u0430ptop",
        "\uff4c\uff41\uff50\uff54\uff4f\uff50",
        "l\u00e1pt\u00f6p",
        "1aptop",
        "Iaptop",
        "lapt0p",
        "lap-top",
        "lap.top",
        "\U0001d425\U0001d41a\U0001d429\U0001d42d\U0001d428\U0001d429",
        "laptop\ufe0f",
        "\u043b\u0430ptop".replace("\u043b", "l"),
    ],
)
def test_an_imitation_is_found(imitation: str) -> None:
    assert looks_like(imitation, ["desktop", "laptop"]) == "laptop"
    assert told_apart(imitation, PEER, ["laptop"]).endswith("(abcdefgh)")


@pytest.mark.parametrize("name", ["laptop 2", "desktop", "lap", "笔记本", "ноутбук", "Ada's laptop"])
def test_an_honest_name_stays_as_it_is(name: str) -> None:
    assert told_apart(name, PEER, ["laptop"]) == name


def test_what_nobody_sees_is_not_part_of_a_name() -> None:
    assert cleaned(" lap\u200btop\u202e  2\n\x1b[31m") == "laptop 2 [31m"


def test_letters_that_together_look_like_one_are_seen() -> None:
    assert looks_like("hoine", ["home"]) is None
    assert looks_like("horne", ["home"]) == "home"


@pytest.mark.parametrize("name", ["", " ", "\u200b", "\u3000", "...", "\U0001f4bb"])
def test_a_name_without_a_letter_says_whose_it_is(name: str) -> None:
    assert told_apart(name, PEER, ["laptop"]).endswith("(abcdefgh)")


def test_folding_is_stable() -> None:
    for name in ("İstanbul", "ﬁle", "Straße", "Ⅷ", "l\u0430ptop"):
        assert skeleton(skeleton(name)) == skeleton(name)
