# SPDX-License-Identifier: Apache-2.0
"""A code as a QR code: what is drawn is what the code says."""

from __future__ import annotations

import segno

from p2p_handoff.cli.qr import qr_code


def test_the_picture_is_the_one_of_the_code_with_its_scheme() -> None:
    matrix = segno.make("handoff:7-velvet-sausage", error="m", micro=False).matrix
    lines = qr_code("7-velvet-sausage").splitlines()
    assert len(lines) == -(-(len(matrix) + 4) // 2)
    assert qr_code("7-velvet-sausage") != qr_code("7-velvet-salmon")


def test_it_fits_a_terminal() -> None:
    drawn = qr_code("9999-" + "-".join(["umbrella"] * 2))
    assert max(line.count("\u2588") + line.count("\u2580") + line.count("\u2584") for line in drawn.splitlines()) < 60
    assert len(drawn.splitlines()) < 24
