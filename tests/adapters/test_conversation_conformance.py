# SPDX-License-Identifier: Apache-2.0
"""The conversation adapter passes the suite that every adapter passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from typing_extensions import override

from p2p_handoff.adapters.base import Adapter
from p2p_handoff.adapters.conversation import ConversationAdapter
from p2p_handoff.testing.adapter_conformance import AdapterBench, AdapterConformance
from p2p_handoff.testing.kept_conformance import KeptConformance
from p2p_handoff.testing.samples import conversation_lines


class ConversationBench(AdapterBench):
    """Conversations of several chunks."""

    @property
    @override
    def adapter(self) -> Adapter:
        return ConversationAdapter()

    @override
    def make(self, path: Path) -> None:
        path.write_bytes(b"".join(conversation_lines(1_000)))

    @override
    def edit(self, path: Path, mark: str) -> None:
        with path.open("ab") as opened:
            opened.write(f'{{"role":"user","text":"{mark}"}}\n'.encode())

    @override
    def collide(self, path: Path, mark: str) -> None:
        _, *rest = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([f'{{"role":"system","text":"{mark}"}}\n'.encode(), *rest]))

    @override
    @contextmanager
    def hold(self, path: Path) -> Iterator[Callable[[str], None]]:
        with path.open("ab", buffering=0) as opened:

            def write(mark: str) -> None:
                opened.write(f'{{"role":"user","text":"{mark}"}}\n'.encode())

            yield write

    @override
    def read(self, path: Path) -> Mapping[str, bytes]:
        return {"conversation": path.read_bytes()}


class TestConversation(AdapterConformance):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> AdapterBench:
        return ConversationBench(tmp_path)


class TestKeptConversation(KeptConformance):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> AdapterBench:
        return ConversationBench(tmp_path)
