# SPDX-License-Identifier: Apache-2.0
"""The kept results: one JSON file for each commit and day, filled row by row. Layer: bench.

A row that is measured again replaces its old figures; the others stay.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bench.figures import Figure, figure_from_json


@dataclass(slots=True)
class Results:
    """What was measured at one commit on one machine."""

    machine: dict[str, Any]
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name: when, at which load, for how many seconds, and the figures."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Those of a file.

        Raises:
            OSError: It cannot be read.
            KeyError: It is of another form.
        """
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(stored["machine"], stored["rows"])

    def write(self, path: Path) -> None:
        """Keep them."""
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {"machine": self.machine, "rows": self.rows}
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def put(self, row: str, figures: Sequence[Figure], **conditions: Any) -> None:
        """Figures of a row, with what they were measured under."""
        self.rows[row] = {**conditions, "figures": [figure.as_json() for figure in figures]}

    def figures(self) -> list[Figure]:
        """All, in the order in which rows were first measured."""
        return [figure_from_json(stored) for row in self.rows.values() for stored in row["figures"]]
