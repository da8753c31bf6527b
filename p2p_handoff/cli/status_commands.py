# SPDX-License-Identifier: Apache-2.0
"""``handoff status``, which is ``handoff agent status`` as well. Layer: cli. Specification: docs/cli.md §4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from p2p_handoff.cli import options
from p2p_handoff.cli.agent_process import running
from p2p_handoff.cli.headway import in_words
from p2p_handoff.cli.output import counted, print_json, shown, size

_MOST: Final = 5
"""Sessions, and devices, that are told one by one: the whole is meant to be seen at a glance."""
_VISIBLE: Final = {
    "everyone": "everyone on the network sees its name",
    "linked": "linked devices recognise it on the network, nobody else does",
    "nobody": "it announces itself to nobody on the network",
}
_STATES: Final = {
    "here": "here",
    "leaving": "here, being handed over",
    "arriving": "arriving",
    "not-in-place": "this device's, and not in place yet",
    "in-doubt": "frozen, in doubt",
    "lost": "lost",
}


@click.command()
@options.common
def status(home: Path, *, as_json: bool) -> None:
    """Tell what this device is doing, and what waits."""
    result = running(home).call("status")
    if as_json:
        print_json(result)
        return
    for line in lines(result):
        click.echo(shown(line))


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The status for people; usually some ten lines."""
    yield from _agent(result)
    connected = [item for item in result["devices"] if item["connection"]]
    yield from _some([_device(item) for item in connected], "more devices are connected: handoff peers")
    yield from _some([_session(item) for item in result["sessions"]], "more sessions: handoff sessions")
    for item in result["active"]:
        way = "to" if item["direction"] == "out" else "from"
        away = "" if item["connected"] else ", not connected"
        yield f"{item['title']!r} {way} {item['peer']}: {in_words(item)}{away}"
    if result["requests"]:
        yield f"{counted(len(result['requests']), 'request')} to answer: handoff requests"
    yield from _unsettled(result)
    for url, problem in result["relays"].items():
        yield f"relay {url}: {problem or 'connected'}"
    if result["discovery"]:
        yield f"discovery: {result['discovery']}"


def _agent(result: Mapping[str, Any]) -> Iterator[str]:
    yield f"{result['name']} ({result['device'][:8]}), engine {result['engine']}, port {result['port']}"
    yield ", ".join(
        (
            counted(result["peers_online"], "device") + " in sight",
            counted(len(result["sessions"]), "session"),
            counted(len(result["active"]), "handoff") + " under way",
        )
    )
    yield f"handoff is {'on' if result['handoff'] else 'switched off'}; new sessions go to {result['receive_dir']}"
    yield _VISIBLE[result["visible"]]
    yield f"its secret keys are in {result['keys_in']}"


def _some(told: Sequence[str], more: str) -> Iterator[str]:
    """The first few, and that there are more."""
    yield from told[:_MOST]
    if len(told) > _MOST:
        yield f"{len(told) - _MOST} {more}"


def _device(item: Mapping[str, Any]) -> str:
    line = item["connection"]
    busy = [f"{doing} {size(line[doing])}/s" for doing in ("sending", "receiving") if line[doing]]
    trip = f"round trip {line['round_trip_ms']:g} ms" if line["round_trip_ms"] is not None else ""
    way = ", ".join(filter(None, (line["engine"], line["path"], trip, *(busy or ["idle"]))))
    return f"{item['name']} is connected ({way})"


def _session(item: Mapping[str, Any]) -> str:
    where = _STATES.get(item["state"]) or f"on {item['primary']}"
    return f"{item['title']!r}: {where}, epoch {item['epoch']}"


def _unsettled(result: Mapping[str, Any]) -> Iterator[str]:
    old_copy = [result["old_copy"]] if result["old_copy"] else []
    for item in (*result["in_doubt"], *old_copy, *result["lost"], *result["forks"]):
        yield item["text"]
    for item in (*result["not_in_place"], *result["edited_here"]):
        yield f"{item['title']!r}: {item['text']}"
