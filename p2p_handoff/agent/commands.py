# SPDX-License-Identifier: Apache-2.0
"""The agent's methods as commands of the control API. Layer: agent. Specification: docs/specs/control.md §5.

One function per command: it checks the arguments, calls the agent, and shapes the answer's stable keys.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from p2p_handoff.agent import doubts
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.catalog import real_place
from p2p_handoff.agent.current_settings import explained
from p2p_handoff.agent.giving_up import GivenUpError
from p2p_handoff.agent.report import Report, stopped
from p2p_handoff.agent.requests import part_as_json
from p2p_handoff.agent.telling import force_warning, fork_as_json, fork_history, generation_as_json, open_forks
from p2p_handoff.agent.verifying import verify_history
from p2p_handoff.agent.visibility import in_force
from p2p_handoff.content.digests import digest
from p2p_handoff.control.request import Handler, Request
from p2p_handoff.errors import CancelledError, UsageError
from p2p_handoff.ids import DeviceId
from p2p_handoff.protocol.messages import Mode
from p2p_handoff.protocol.outcome import Result
from p2p_handoff.security.link_terms import LinkKind, LinkResult, Purpose
from p2p_handoff.security.words import key_words
from p2p_handoff.session import chain as chains
from p2p_handoff.session.guard import EVERYTHING, Letting
from p2p_handoff.session.manifest import PartType, decode_manifest
from p2p_handoff.session.signed import SignedStatement, read
from p2p_handoff.session.statements import FIRST_EPOCH, Accepted, Genesis, Grant
from p2p_handoff.store.records import SessionRecord

Answer = Mapping[str, Any]
_TYPES: Final = frozenset(kind.value for kind in PartType)
COPY_BEGINS_WITHIN: Final = 120.0
"""Seconds after a code was used: the sender looks through its files once more before it connects."""


def handlers(agent: Agent, stop: Callable[[], None]) -> dict[str, Handler]:
    """All commands of an agent.

    Args:
        agent: A running one.
        stop: Ends the process after the answer went out.
    """
    commands = Commands(agent, stop)
    return {
        "status": commands.status,
        "stop-agent": commands.stop_agent,
        "whoami": commands.whoami,
        "peers": commands.peers,
        "watch-peers": commands.watch_peers,
        "link": commands.link,
        "unlink": commands.unlink,
        "rename": commands.rename,
        "check-settings": commands.check_settings,
        "take-over-settings": commands.take_over_settings,
        "start": commands.start,
        "stop": commands.stop_session,
        "sessions": commands.sessions,
        "to": commands.to,
        "take": commands.take,
        "requests": commands.requests,
        "accept": commands.accept,
        "reject": commands.reject,
        "send": commands.send,
        "receive": commands.receive,
        "history": commands.history,
        "undo": commands.undo,
        "recover": commands.recover,
        "events": commands.events,
    }


class Commands:
    """See ``handlers``."""

    def __init__(self, agent: Agent, stop: Callable[[], None]) -> None:
        self._agent = agent
        self._stop = stop

    async def status(self, _request: Request) -> Answer:
        """The state of this agent."""
        agent = self._agent
        return {
            "device": agent.device,
            "name": agent.name,
            "home": str(agent.home.path),
            "port": agent.port,
            "engine": agent.engine,
            "handoff": agent.settings.handoff,
            "visible": in_force(agent.settings, agent.store.links),
            "discovery": agent.discovery_problem or "",
            "relays": agent.relay_states(),
            "peers_online": sum(peer.online for peer in agent.discover()),
            "sessions": len(agent.sessions()),
            "requests": len(agent.pending()),
            "active": len(agent.handoffs.active()),
            "receive_dir": str(agent.settings.receive_dir),
            "not_in_place": [
                {"session": record.id, "title": record.title, "text": text}
                for record in agent.sessions()
                if (text := agent.unplaced.of(record.id))
            ],
            "in_doubt": [doubts.doubt_as_json(agent.around, item) for item in doubts.in_doubt(agent.sessions())],
            "lost": doubts.lost_as_json(agent.around, agent.sessions()),
            "old_copy": doubts.old_copy_as_json(agent.around),
            "forks": open_forks(agent.store),
            "edited_here": [item for record in agent.sessions() if (item := await self._edited(record))],
        }

    async def _edited(self, record: SessionRecord) -> dict[str, Any]:
        edits = await self._agent.contributions.of(record)
        return {"session": record.id, "title": record.title, **edits.as_json()} if edits.counts else {}

    async def stop_agent(self, _request: Request) -> Answer:
        """End the agent."""
        asyncio.get_running_loop().call_later(0.05, self._stop)
        return {"stopped": True}

    async def whoami(self, _request: Request) -> Answer:
        """Who this device is."""
        return {"device": self._agent.device, "name": self._agent.name, "key": key_words(self._agent.device)}

    async def peers(self, request: Request) -> Answer:
        """Linked devices and those in sight; waits a moment on an agent that has just started."""
        await self._agent.look_around(_number(request.args, "wait", 0.0))
        return self._peer_list()

    async def watch_peers(self, request: Request) -> Answer:
        """An event with the whole list whenever it changes, until the client goes."""
        changed = asyncio.Event()
        names = {"found", "lost", "connected", "disconnected", "linked", "introduced", "unlinked", "renamed"}
        cancel = self._agent.subscribe(lambda name, _fields: changed.set() if name in names else None)
        try:
            while True:
                await request.event("peers", **self._peer_list())
                await changed.wait()
                changed.clear()
        finally:
            cancel()

    def _peer_list(self) -> dict[str, Any]:
        policies = self._agent.policies
        peers = [{**peer.as_json(), "policy": policies.as_json(peer.device)} for peer in self._agent.discover()]
        unclear = [explained(doubt) for doubt in policies.unclear()]
        return {"peers": peers, "discovery": self._agent.discovery_problem or "", "unclear": unclear}

    async def link(self, request: Request) -> Answer:
        """Make a code, or use one; asks whose device the other one is."""
        code = _optional_text(request.args, "code")
        outcome = await self._agent.link(
            code,
            on_code=lambda text: request.event("code", code=text, expires_in=600),
            decide=_decider(request),
        )
        name = self._agent.peer_book.name(outcome.peer.device)
        return {"linked": outcome.peer.device, "name": name, "kind": outcome.kind.value}

    async def unlink(self, request: Request) -> Answer:
        """Trust a device no longer."""
        link = await self._agent.unlink(_text(request.args, "peer"), disown=bool(request.args.get("disown")))
        return {"unlinked": link.device, "name": link.name}

    async def rename(self, request: Request) -> Answer:
        """Call a linked device by another name here."""
        renamed = self._agent.rename(_text(request.args, "peer"), _text(request.args, "name"))
        return {"device": renamed.device, "name": renamed.name}

    async def check_settings(self, request: Request) -> Answer:
        """Whether a text could be the settings file: all of its tables mean one linked device."""
        self._agent.check_settings(_text(request.args, "text"))
        return {"good": True}

    async def take_over_settings(self, _request: Request) -> Answer:
        """Read the settings file again."""
        change = await self._agent.take_over_settings()
        return {"taken_over": list(change.taken_over), "needs_restart": list(change.needs_restart)}

    async def start(self, request: Request) -> Answer:
        """Register paths as a session."""
        record = await self._agent.start(_texts(request.args, "paths"), _optional_text(request.args, "title"))
        return {"session": record.id, "title": record.title, "parts": _parts(record)}

    async def stop_session(self, request: Request) -> Answer:
        """Take a session off the list."""
        text, here = _wish(request.args)
        record = self._agent.stop_session(text, here=here)
        return {"session": record.id, "title": record.title}

    async def sessions(self, _request: Request) -> Answer:
        """Sessions on this device."""
        return {"sessions": [await self._session(record) for record in self._agent.sessions()]}

    async def to(self, request: Request) -> Answer:
        """Hand a session over."""
        args = request.args
        text, here = _wish(args)
        return await self._with_progress(
            request,
            self._agent.to(
                _text(args, "peer"),
                text,
                here=here,
                only=_types(args),
                max_pause=_number(args, "max_pause", self._agent.settings.max_pause),
                letting=_letting(args),
            ),
        )

    async def take(self, request: Request) -> Answer:
        """Fetch a session."""
        args = request.args
        text, here = _wish(args)
        return await self._with_progress(
            request,
            self._agent.take(
                text,
                here=here,
                peer=_optional_text(args, "from"),
                only=_types(args),
                into=_directory(args, "into"),
            ),
        )

    async def requests(self, _request: Request) -> Answer:
        """Requests that wait for an answer."""
        now = asyncio.get_running_loop().time()
        return {"requests": [item.as_json(now) for item in self._agent.pending()]}

    async def accept(self, request: Request) -> Answer:
        """Say yes and wait for the end."""
        args = request.args
        pending = self._agent.requests.find(_optional_text(args, "token"))
        return await self._with_progress(
            request,
            self._agent.accept_and_wait(pending.token, only=_types(args), into=_directory(args, "into")),
        )

    async def reject(self, request: Request) -> Answer:
        """Say no."""
        item = self._agent.reject(
            _optional_text(request.args, "token"), reason=_optional_text(request.args, "reason") or ""
        )
        return {"rejected": item.token, "title": item.title, "from": item.peer}

    async def send(self, request: Request) -> Answer:
        """One-off: show a code and copy paths to whoever uses it."""
        record = await self._agent.start(_texts(request.args, "paths"))
        outcome = await self._agent.link(
            on_code=lambda text: request.event("code", code=text, expires_in=600),
            decide=_decide_copy,
            purpose=Purpose.COPY,
        )
        peer = outcome.peer.device
        return await self._with_progress(
            request, self._agent.to(peer, record.id, mode=Mode.COPY, letting=_letting(request.args))
        )

    async def receive(self, request: Request) -> Answer:
        """One-off: use a code and take the copy."""
        into = _directory(request.args, "into")
        if into is None:
            raise UsageError("the argument 'into' is missing")
        code = _text(request.args, "code")
        arrived = self._agent.expect_copy(into)
        try:
            await self._agent.link(code, decide=_decide_copy, purpose=Purpose.COPY)
            self._agent.handoffs.copy_must_begin(COPY_BEGINS_WITHIN)
            return await self._with_progress(request, arrived)
        finally:
            arrived.cancel()

    async def history(self, request: Request) -> Answer:
        """Who was primary when, from the signed chain."""
        record = self._named_in(request)
        if request.args.get("verify"):
            verify_history(self._agent.store, record, self._named)
        chain = chains.decode_chain(record.chain)
        return {
            "session": record.id,
            "title": record.title,
            "verified": bool(request.args.get("verify")),
            "forks": fork_history(self._agent.store, record.id, self._named),
            "generations": [generation_as_json(item) for item in self._agent.store.generations.of(record.id)],
            "history": [self._link_line(index, signed) for index, signed in enumerate(chain)],
        }

    async def undo(self, request: Request) -> Answer:
        """Bring back an earlier state."""
        number = request.args.get("generation")
        if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
            raise UsageError("the argument 'generation' must be a number")
        undone = await self._agent.undo(self._named_in(request).id, generation=number)
        return undone.as_json()

    async def recover(self, request: Request) -> Answer:
        """What is in doubt, and a fresh attempt to resolve it; or, with force, to go on without an answer."""
        if request.args.get("force"):
            return await self._force(request, self._agent.check_fork(self._named_in(request).id))
        self._agent.seek_now()
        around = self._agent.around
        named = _optional_text(request.args, "session")
        records = [self._named_in(request)] if named else self._agent.sessions()
        frozen, deadline = doubts.in_doubt(records), time.monotonic() + _number(request.args, "wait", 5.0)
        while (frozen or around.store.counter.rolled_back) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            frozen = doubts.in_doubt(self._agent.catalog.find(item.id) for item in frozen)
        old_copy = doubts.old_copy_as_json(around)
        return {
            "in_doubt": [doubts.doubt_as_json(around, record) for record in frozen],
            "lost": doubts.lost_as_json(around, records),
            "old_copy": old_copy,
            "resolved": old_copy is None and all(around.store.forks.open_of(record.id) for record in frozen),
        }

    async def _force(self, request: Request, record: SessionRecord) -> Answer:
        """Go on in a fork, once the person knows what that means."""
        if not request.args.get("confirmed"):
            answer = await request.ask(force_warning(record, self._named), ["yes", "no"], name="confirm")
            if answer != "yes":
                raise CancelledError("nothing was forced", state=f"{record.title!r} is frozen as before")
        fork = await self._agent.fork(record.id)
        return {**(await self._session(fork)), "forked": record.id}

    async def events(self, request: Request) -> Answer:
        """Everything that happens, until the client goes."""
        queue: asyncio.Queue[tuple[str, Mapping[str, Any]]] = asyncio.Queue()
        cancel = self._agent.subscribe(lambda name, fields: queue.put_nowait((name, dict(fields))))
        try:
            while True:
                name, fields = await queue.get()
                await request.event(name, **fields)
        finally:
            cancel()

    # --- pieces -------------------------------------------------------------------------------------

    async def _with_progress(self, request: Request, work: Awaitable[Report]) -> Answer:
        """Pass on the events of one handoff while it runs; its report is the answer, or the error it stands for."""
        queue: asyncio.Queue[tuple[str, Mapping[str, Any]]] = asyncio.Queue()
        names = {
            "progress",
            "request",
            "asking",
            "offered",
            "outgoing",
            "incoming",
            "frozen",
            "released",
            "connected",
            "not-in-place",
            "secrets",
            "silent",
        }
        cancel = self._agent.subscribe(
            lambda name, fields: queue.put_nowait((name, dict(fields))) if name in names else None
        )
        forwarding = asyncio.create_task(_forward(request, queue))
        try:
            report = await work
            await asyncio.sleep(0)
        except GivenUpError as given_up:
            report = given_up.report
            if request.stopping and report.outcome == Result.CANCELLED.value:
                raise stopped(report.error.state if report.error is not None else "") from None
            if not (request.stopping or request.given_up):
                raise
        finally:
            cancel()
            forwarding.cancel()
            await asyncio.gather(forwarding, return_exceptions=True)
        return report.as_json()

    def _named_in(self, request: Request) -> SessionRecord:
        text, here = _wish(request.args)
        return self._agent.session(text, here=here)

    async def _session(self, record: SessionRecord) -> dict[str, Any]:
        bindings = self._agent.catalog.bindings(record.id)
        own = record.ownership
        return {
            "session": record.id,
            "title": record.title,
            "role": own.role.value,
            "epoch": own.epoch,
            "primary": self._agent.name
            if own.primary == self._agent.device
            else self._agent.peer_book.name(own.primary),
            "paths": [str(binding.path) for binding in bindings if binding.path is not None],
            "root": _root_hex(record),
            "parts": _parts(record),
            "fork": fork_as_json(self._agent.store, record),
            "edited_here": (await self._agent.contributions.of(record)).as_json(),
            "not_in_place": self._agent.unplaced.of(record.id),
        }

    def _link_line(self, index: int, signed: SignedStatement) -> dict[str, Any]:
        kind = Genesis if index == 0 else Grant if index % 2 else Accepted
        return {"index": index, "statement": kind.__name__.lower(), **_described(signed, kind, self._named)}

    def _named(self, device: DeviceId) -> str:
        return self._agent.name if device == self._agent.device else self._agent.peer_book.name(device)


async def _forward(request: Request, queue: asyncio.Queue[tuple[str, Mapping[str, Any]]]) -> None:
    while True:
        name, fields = await queue.get()
        await request.event(name, **fields)


def _described(
    signed: SignedStatement, kind: type[Genesis | Grant | Accepted], named: Callable[[DeviceId], str]
) -> dict[str, Any]:
    if kind is Genesis:
        genesis = read(signed, Genesis)
        parent = {"parent": genesis.parent.session} if genesis.parent is not None else {}
        return {"primary": named(genesis.primary), "epoch": FIRST_EPOCH, **parent}
    if kind is Accepted:
        accepted = read(signed, Accepted)
        return {"primary": named(accepted.target), "epoch": accepted.epoch}
    grant = read(signed, Grant)
    return {"from": named(grant.source), "to": named(grant.target), "epoch": grant.epoch}


def _decider(request: Request) -> Callable[[LinkResult], Awaitable[LinkKind | None]]:
    wish = _optional_text(request.args, "kind")
    if wish is not None and wish not in {kind.value for kind in LinkKind}:
        raise UsageError(f"{wish!r} is no kind of link", advice="kinds are own and other")

    async def decide(result: LinkResult) -> LinkKind | None:
        await request.event("peer", name=result.peer_name, verification=result.verification)
        if wish is not None:
            return LinkKind(wish)
        answer = await request.ask(
            f"Is {result.peer_name} your own device?",
            ["own", "other", "no"],
            "own",
        )
        return None if answer == "no" else LinkKind(answer)

    return decide


async def _decide_copy(_result: LinkResult) -> LinkKind:
    return LinkKind.OTHER


def _root_hex(record: SessionRecord) -> str:
    return digest(record.manifest).hex() if record.manifest else ""


def _parts(record: SessionRecord) -> list[dict[str, Any]]:
    if record.manifest is None:
        return []
    return [part_as_json(part) for part in decode_manifest(record.manifest).parts]


def _text(args: Mapping[str, Any], key: str) -> str:
    value = args.get(key)
    if not isinstance(value, str) or not value:
        raise UsageError(f"the argument {key!r} is missing")
    return value


def _optional_text(args: Mapping[str, Any], key: str) -> str | None:
    value = args.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"the argument {key!r} must be a text")
    return value or None


def _wish(args: Mapping[str, Any]) -> tuple[str | None, Path | None]:
    """What was typed for SESSION, and the directory it was typed in."""
    return _optional_text(args, "session"), _directory(args, "here")


def _directory(args: Mapping[str, Any], key: str) -> Path | None:
    value = _optional_text(args, key)
    if value is None:
        return None
    place = real_place(value)
    if place is None:
        raise UsageError(f"the argument {key!r} is no path on this device")
    return place


def _texts(args: Mapping[str, Any], key: str) -> list[Path | str]:
    value = args.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise UsageError(f"the argument {key!r} must be a list of texts")
    return list(value)


def _letting(args: Mapping[str, Any]) -> Letting:
    value = args.get("secrets") or []
    if value is True:
        return EVERYTHING
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError("the argument 'secrets' must be true or a list of paths")
    return Letting(paths=frozenset(os.fsencode(item).strip(b"/") for item in value))


def _types(args: Mapping[str, Any]) -> list[str]:
    value = args.get("only") or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError("the argument 'only' must be a list of texts")
    wrong = [item for item in value if item not in _TYPES]
    if wrong:
        raise UsageError(f"{wrong[0]!r} is no part type", advice=f"types are {', '.join(sorted(_TYPES))}")
    return list(value)


def _number(args: Mapping[str, Any], key: str, default: float) -> float:
    value = args.get(key)
    if value is None:
        return default
    # Compared with the largest float: an integer beyond it is below infinity, and no float.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= sys.float_info.max:
        raise UsageError(f"the argument {key!r} must be a number, not negative")
    return float(value)
