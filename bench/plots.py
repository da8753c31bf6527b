# SPDX-License-Identifier: Apache-2.0
"""Plots of the figures, as PNG: beside others, with changes, growth. Layer: bench.

Needs the extra 'bench' (matplotlib). Colours are those of Okabe and Ito, which everybody can tell apart; a
program has the same one in every panel, and every line and bar is labelled too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle, groupby
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from bench.figures import Figure
from bench.table import shown

OURS: Final = "#0072B2"
AGAIN: Final = "#009E73"
"""Ours, when it moves what is there already."""
_COLOURS: Final = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_BARS: Final = 2
"""A panel of bars has at least so many others."""
_STYLE: Final[Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 144,
}
Panel = Callable[[Axes], None]


def draw(figures: Sequence[Figure], place: Path) -> list[Path]:
    """Draw what the figures allow.

    Args:
        figures: Any.
        place: A directory, made.

    Returns:
        The pictures.
    """
    place.mkdir(parents=True, exist_ok=True)
    drawn = []
    with mpl.rc_context(_STYLE):
        for name, panels in (
            ("beside-others", list(_beside_others(figures))),
            ("unchanged-and-changed", list(_changed(figures))),
            ("growth", list(_growth(figures))),
        ):
            if panels:
                drawn.append(place / f"{name}.png")
                _picture(panels).savefig(drawn[-1])
    return drawn


def _picture(panels: Sequence[Panel]) -> Picture:
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    picture = Picture(figsize=(4.6 * columns, 2.7 * rows), layout="constrained")
    for number, panel in enumerate(panels, start=1):
        panel(picture.add_subplot(rows, columns, number))
    return picture


def _beside_others(figures: Sequence[Figure]) -> Iterator[Panel]:
    """One panel of bars for each thing that was measured beside several others."""
    compared = [figure for figure in figures if figure.beside is not None and not figure.series]
    others = dict.fromkeys(figure.compared_with for figure in compared)
    colours = {"ours": OURS, **dict(zip(others, cycle(_COLOURS), strict=False))}
    for _, group in groupby(compared, key=lambda figure: figure.name):
        several = list(group)
        if len(several) >= _BARS:
            yield partial(_bars, figures=several, colours=colours)


def _bars(axes: Axes, figures: Sequence[Figure], colours: Mapping[str, str]) -> None:
    first = figures[0]
    names = ["ours", *(figure.compared_with for figure in figures)]
    values = [first.value, *(figure.beside or 0.0 for figure in figures)]
    bars = axes.barh(names, values, color=[colours[name] for name in names])
    axes.bar_label(bars, labels=[shown(value) for value in values], padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel(f"{first.unit}, {'more' if '/' in first.unit else 'less'} is better")
    axes.set_title(first.name.replace("`", ""), loc="left")


def _changed(figures: Sequence[Figure]) -> Iterator[Panel]:
    """One panel for each data set: seconds against the share changed."""
    series = dict.fromkeys(figure.series for figure in figures if figure.series.endswith(", changed"))
    for name in series:
        yield partial(_shares, name=name, figures=[figure for figure in figures if figure.series == name])


def _shares(axes: Axes, name: str, figures: Sequence[Figure]) -> None:
    labels = [f"{figure.at:.1%}".replace(".0%", "%") for figure in figures]
    axes.plot(labels, [figure.value for figure in figures], "o-", color=OURS, label="ours")
    if all(figure.beside is not None for figure in figures):
        beside = [figure.beside or 0.0 for figure in figures]
        axes.plot(labels, beside, "s--", color=_COLOURS[0], label=figures[0].compared_with)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("changed since it was there")
    axes.set_ylabel("seconds, less is better")
    axes.set_title(name.removesuffix(", changed"), loc="left")
    axes.legend(frameon=False)


def _growth(figures: Sequence[Figure]) -> Iterator[Panel]:
    """Time against bytes and against files, both axes logarithmic."""
    for against in ("bytes", "files"):
        curves = {
            label: [figure for figure in figures if figure.series == series]
            for label, series in (("cold: start and to", against), ("unchanged", f"{against}, unchanged"))
        }
        if all(curves.values()):
            yield partial(_curves, against=against, curves=curves)


def _curves(axes: Axes, against: str, curves: dict[str, list[Figure]]) -> None:
    for (label, points), colour, marker in zip(curves.items(), (OURS, AGAIN), ("o-", "s-"), strict=True):
        axes.loglog(
            [point.at for point in points], [point.value for point in points], marker, color=colour, label=label
        )
    last = next(iter(curves.values()))[-1]
    first = next(iter(curves.values()))[0]
    axes.loglog(
        [first.at, last.at], [last.value * first.at / last.at, last.value], ":", color="grey", label="in proportion"
    )
    axes.set_xlabel(against)
    axes.set_ylabel("seconds")
    axes.set_title(f"Growth against {against}", loc="left")
    axes.legend(frameon=False)
