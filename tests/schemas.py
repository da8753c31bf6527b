# SPDX-License-Identifier: Apache-2.0
"""The schemas of the specifications, taken from the documents themselves: one source for readers and for tests."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

from pycddl import Schema

SPECIFICATIONS: Final = Path(__file__).parents[1] / "docs/specs"


@cache
def schema(document: str, rule: str) -> Schema:
    """The schema of a document with one of its rules as the first, which a value is held against.

    Args:
        document: A file of ``docs/specs``: all of a ``.cddl`` file, every ``cddl`` block of a ``.md`` file.
        rule: A rule in it.
    """
    text = (SPECIFICATIONS / document).read_text(encoding="utf-8")
    if document.endswith(".md"):
        text = "\n".join(re.findall(r"```cddl\n(.*?)```", text, re.DOTALL))
    return Schema(f"start-of-this-test = {rule}\n{text}")
