# SPDX-License-Identifier: Apache-2.0
"""``handoff send`` and ``handoff receive``: a copy by code with no agent running and nothing linked."""

from __future__ import annotations

import pytest

from tests.network.lab import Lab
from tests.network.peer import Devices, Peer, start_relay
from tests.network.trees import assert_same, project

pytestmark = pytest.mark.network


def copy(sender: Peer, receiver: Peer, *options: str) -> None:
    """Send a folder by code and check that nothing but the copy is left."""
    folder, into = project(sender.user / "work"), receiver.user / "in"
    sending = sender.begin("send", str(folder), *options)
    code = str(sending.wait("code")["code"])
    received = receiver.run("receive", "-", "--into", str(into), *options, stdin=code).done()
    assert received["outcome"] == sending.answer().done()["outcome"] == "done"
    assert received["into"] == [str(into / "work")]
    assert_same(folder, into / "work")
    assert not sender.running
    assert not receiver.running


def test_a_folder_is_sent_by_code_on_a_network(lab: Lab, devices: Devices) -> None:
    net = lab.bridge("net")
    copy(devices.on(lab.host("laptop", bridge=net)), devices.on(lab.host("desktop", bridge=net)))


def test_a_folder_is_sent_by_code_through_a_relay(lab: Lab, devices: Devices) -> None:
    home, office = lab.bridge("home"), lab.bridge("office")
    left, right = lab.host("laptop", bridge=home), lab.host("desktop", bridge=office)
    _, url = start_relay(lab.router("middle", home, office))
    copy(devices.on(left), devices.on(right), "--relay", url)
