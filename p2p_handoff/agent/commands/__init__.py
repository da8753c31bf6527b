# SPDX-License-Identifier: Apache-2.0
"""The agent's methods as commands of the control API. Layer: agent. Specification: docs/specs/control.md §5.

One function per command, in a module by what it is about: it checks the arguments, calls the agent, and shapes the
answer's stable keys. ``handlers`` lists them all.
"""

from __future__ import annotations

from collections.abc import Callable

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands.handoffs import HandoffCommands
from p2p_handoff.agent.commands.history import HistoryCommands
from p2p_handoff.agent.commands.one_off import OneOffCommands
from p2p_handoff.agent.commands.peers import PeerCommands
from p2p_handoff.agent.commands.recovery import RecoveryCommands
from p2p_handoff.agent.commands.sessions import SessionCommands
from p2p_handoff.agent.commands.this_device import ThisDeviceCommands
from p2p_handoff.control.request import Handler


def handlers(agent: Agent, stop: Callable[[], None]) -> dict[str, Handler]:
    """All commands of an agent.

    Args:
        agent: A running one.
        stop: Ends the process after the answer went out.
    """
    this_device, peers, sessions = ThisDeviceCommands(agent, stop), PeerCommands(agent), SessionCommands(agent)
    handoffs, one_off = HandoffCommands(agent), OneOffCommands(agent)
    history, recovery = HistoryCommands(agent), RecoveryCommands(agent)
    return {
        "status": this_device.status,
        "stop-agent": this_device.stop_agent,
        "whoami": this_device.whoami,
        "check-settings": this_device.check_settings,
        "take-over-settings": this_device.take_over_settings,
        "events": this_device.events,
        "peers": peers.peers,
        "watch-peers": peers.watch_peers,
        "link": peers.link,
        "unlink": peers.unlink,
        "rename": peers.rename,
        "start": sessions.start,
        "stop": sessions.stop_session,
        "sessions": sessions.sessions,
        "to": handoffs.to,
        "take": handoffs.take,
        "requests": handoffs.requests,
        "accept": handoffs.accept,
        "reject": handoffs.reject,
        "send": one_off.send,
        "receive": one_off.receive,
        "history": history.history,
        "undo": history.undo,
        "recover": recovery.recover,
    }
