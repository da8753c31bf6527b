# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re

from signaling.hub import Hub
from signaling.messages import Refusal
from signaling.metrics import render
from signaling.policy import SharedPolicy
from signaling.switchboard import Switchboard
from tests.signaling.parties import seeded


def test_every_line_is_one_sample_of_the_text_format() -> None:
    hub = Hub(Switchboard(SharedPolicy(), seeded()))
    hub.counters["refused/absent"] = 3
    lines = render(hub, connections=2).splitlines()
    assert all(re.fullmatch(r'handoff_relay_[a-z_]+(\{reason="[a-z-]+"\})? \d+', line) for line in lines)
    assert "handoff_relay_connections 2" in lines
    assert 'handoff_relay_refused_total{reason="absent"} 3' in lines
    assert sum("refused_total" in line for line in lines) == len(Refusal)
