# SPDX-License-Identifier: Apache-2.0
"""Devices, what is on its way between them, and everything that may happen next.

A world is a tuple of small numbers: each device's state and each message has one, given when it was first seen. What a
device does is worked out once for each state and input (node.py), and looked up from then on.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from p2p_handoff.ids import SessionId
from tests.explore import cast, invariants, node
from tests.explore.choices import choices
from tests.explore.device import BeyondScopeError, DefectError, Device, Doing, Durable
from tests.explore.happening import Input, Kind
from tests.explore.invariants import Summary
from tests.explore.move import Move, Net, Numbers, World, broken, describe
from tests.explore.scope import Scope

Step = tuple[World, bool, tuple[int, Move | None, str]]
"""A next world, whether it comes by itself, and who did what."""


class Worlds:
    """All worlds of one scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.devices: Numbers[Device] = Numbers()
        self.messages: Numbers[tuple[int, int, Any]] = Numbers()
        """Sender, receiver, message."""
        self.acked: Numbers[tuple[tuple[SessionId, tuple[int, ...]], ...]] = Numbers()
        self.summaries: Numbers[Summary] = Numbers()
        self.summary_of: list[int] = []
        self.pairs = list(combinations(range(scope.devices), 2))
        self.link = {(i, j): 1 << n for n, pair in enumerate(self.pairs) for i, j in (pair, pair[::-1])}
        self.all_links = (1 << len(self.pairs)) - 1
        self.gone = cast.NAMES.index(scope.gone) if scope.gone else None
        self.gone_bit = 1 << len(self.pairs)
        self.inbox = [0] * scope.devices
        """For each device a bit for each message to it."""
        self.of_pair = dict.fromkeys(self.link.values(), 0)
        self.pruned = 0
        self._local: dict[tuple[int, int], tuple[Move, ...]] = {}
        self._delivered: dict[tuple[int, int], Move | None] = {}
        self._taken: dict[tuple[int, int], tuple[Move, ...]] = {}
        self._restarted: dict[int, int] = {}
        self._connected: dict[tuple[int, int, bool], Move | None] = {}
        self._parted: dict[tuple[tuple[int, ...], int, int], tuple[tuple[int, ...], int]] = {}
        self._learned: dict[tuple[int, int], tuple[Move, ...]] = {}
        self._checked: dict[tuple[tuple[int, ...], int, bool, bool], tuple[str | None, bool, bool]] = {}
        self._teachers = [
            tuple(cast.NAMES.index(p[1]) for p in scope.learns.split() if cast.NAMES.index(p[0]) == i)
            for i in range(scope.devices)
        ]

    def first(self) -> World:
        """Where it begins."""
        devices = tuple(self._number(device) for device in node.first(self.scope))
        acked = self.acked.number(((cast.ORIGINAL, (0,) * self.scope.parts),))
        net = tuple(() for _ in range(2 * len(self.pairs))) if self.scope.fifo else 0
        return World(devices, net, self.all_links, acked, 1, 0, 0)

    # --- judging ------------------------------------------------------------------------------------

    def verdict(self, world: World) -> tuple[str | None, bool, bool]:
        """The invariant that does not hold, if any; whether every session has its one active primary; and whether
        nothing is promised from here on: a restored home had acted where nobody could tell it, among three devices.
        """
        gone = bool(world.links & self.gone_bit)
        out_of_txns = world.next_txn > self.scope.txns + self.scope.merges
        key = tuple(self.summary_of[number] for number in world.devices), world.acked, gone, out_of_txns
        known = self._checked.get(key)
        if known is None:
            devices = tuple(self.summaries.values[number] for number in key[0])
            acked = dict(self.acked.values[world.acked])
            rest = self._knows_what_it_can(devices) if gone else invariants.at_rest(devices, acked)
            rest = rest and (out_of_txns or not any(device.fork == "open" for device in devices))
            rest = rest or (out_of_txns and self.scope.merges > 0 and any(device.fork == "open" for device in devices))
            violation = invariants.violated(devices, acked)
            if violation is not None and len(devices) > 2 and any(device.acted for device in devices):
                known = None, True, True
            else:
                known = violation, rest, False
            self._checked[key] = known
        return known

    def _knows_what_it_can(self, devices: tuple[Summary, ...]) -> bool:
        left = tuple(device for number, device in enumerate(devices) if number != self.gone)
        return not invariants.somebody_knows(left)

    # --- what may happen ----------------------------------------------------------------------------

    def steps(self, world: World) -> Iterator[Step]:
        """The next worlds, whether they come by themselves, and who did what."""
        gone = self.gone if world.links & self.gone_bit else None
        for me, number in enumerate(world.devices):
            if me != gone:
                yield from self._of_device(world, me, number)
        for pair in self.pairs:
            if gone not in pair:
                yield from self._connections(world, pair)
        if gone is None and self.gone is not None:
            yield self._left(world, self.gone), False, (self.gone, None, "is gone for good")

    def _of_device(self, world: World, me: int, number: int) -> Iterator[Step]:
        may_crash = self.scope.crashes is None or world.crashes < self.scope.crashes
        for move in self._moves(world, me, number):
            if world.links & move.up != move.up or world.links & move.down:
                continue
            yield self._after(world, me, move), move.progress, (me, move, "")
            for then, sends in move.crashes if may_crash else ():
                half = self._sent(world, me, then, sends, move)
                yield self._crashed(half, me, then), False, (me, move, "crash")
        if may_crash:
            yield self._crashed(world, me, self._restart(number)), False, (me, None, "crashes and starts again")
        if self.devices.values[number].past.copy is not None:
            then = self._number(node.restored(self.devices.values[number]))
            yield self._crashed(world, me, then, counted=False), False, (me, None, "is restored from the copy")

    def _left(self, world: World, me: int) -> World:
        for pair in self.pairs:
            world = self._lost(world, pair) if me in pair else world
        devices, links = self._alone(world.devices, world.links, me)
        return world._replace(devices=devices, links=links | self.gone_bit)

    def _moves(self, world: World, me: int, number: int) -> Iterator[Move]:
        yield from self._local_moves(number, world.next_txn)
        if self.scope.fifo:
            for n, (_, to) in enumerate(d for pair in self.pairs for d in (pair, pair[::-1])):
                if to == me and world.net[n]:
                    move = self._delivery(number, world.net[n][0])
                    if move is not None:
                        yield move
        else:
            yield from self._taking(number, world.net & self.inbox[me])
        for other in self._teachers[me]:
            yield from self._learning(number, world.devices[other])

    def _connections(self, world: World, pair: tuple[int, int]) -> Iterator[Step]:
        i, j = pair
        bit = self.link[pair]
        names = f"{cast.NAMES[i]} and {cast.NAMES[j]}"
        if not world.links & bit:
            after = self._met(world._replace(links=world.links | bit), pair)
            yield after, True, (i, None, f"connects to {cast.NAMES[j]}")
        elif self.scope.cuts is None or world.cuts < self.scope.cuts:
            cuts = world.cuts if self.scope.cuts is None else world.cuts + 1
            devices = self._without(world.devices, pair)
            after = self._lost(world, pair)._replace(devices=devices, links=world.links & ~bit, cuts=cuts)
            yield after, False, (i, None, f"the connection of {names} breaks, what was on its way is lost")

    # --- applying -----------------------------------------------------------------------------------

    def _after(self, world: World, me: int, move: Move) -> World:
        after = self._sent(world, me, move.then, move.sends, move)
        if move.acks:
            after = after._replace(acked=self._acknowledged(world.acked, move.acks))
        return after

    def _sent(self, world: World, me: int, then: int, sends: tuple[tuple[int, int], ...], move: Move) -> World:
        net = world.net
        if self.scope.fifo:
            net = self._queued(world, me, sends, move)
        else:
            for link, message in sends:
                if world.links & link:
                    net |= 1 << message
        devices = world.devices
        if devices[me] != then:
            devices = (*devices[:me], then, *devices[me + 1 :])
        return World(devices, net, world.links, world.acked, world.next_txn + move.begins, world.crashes, world.cuts)

    def _queued(self, world: World, me: int, sends: tuple[tuple[int, int], ...], move: Move) -> Net:
        queues = list(world.net)
        if move.message >= 0:
            sender, _, _ = self.messages.values[move.message]
            at = self._direction(sender, me)
            queues[at] = queues[at][1:]
        for link, message in sends:
            if world.links & link:
                at = self._direction(me, self.messages.values[message][1])
                queues[at] = (*queues[at], message)
        return tuple(queues)

    def _direction(self, sender: int, receiver: int) -> int:
        pair = (min(sender, receiver), max(sender, receiver))
        return 2 * self.pairs.index(pair) + (sender > receiver)

    def _lost(self, world: World, pair: tuple[int, int]) -> World:
        if not self.scope.fifo:
            return world._replace(net=world.net & ~self.of_pair[self.link[pair]])
        at = 2 * self.pairs.index(pair)
        return world._replace(net=(*world.net[:at], (), (), *world.net[at + 2 :]))

    def _crashed(self, world: World, me: int, then: int, *, counted: bool = True) -> World:
        devices, links = self._alone((*world.devices[:me], then, *world.devices[me + 1 :]), world.links, me)
        net = world.net
        if self.scope.fifo:
            for pair in self.pairs:
                net = self._lost(world._replace(net=net), pair).net if me in pair else net
        crashes = 0 if self.scope.crashes is None else world.crashes + counted
        return World(devices, net, links, world.acked, world.next_txn, crashes, world.cuts)

    def _alone(self, devices: tuple[int, ...], links: int, me: int) -> tuple[tuple[int, ...], int]:
        """One device loses all its connections."""
        key = devices, links, me
        known = self._parted.get(key)
        if known is None:
            for pair in self.pairs:
                bit = self.link[pair]
                if me in pair and links & bit:
                    links &= ~bit
                    devices = self._without(devices, pair)
            known = self._parted[key] = devices, links
        return known

    def _without(self, devices: tuple[int, ...], pair: tuple[int, int]) -> tuple[int, ...]:
        """Both ends hear that their connection is lost; what they say to each other about it reaches nobody."""
        for me, peer in (pair, pair[::-1]):
            move = self._connection(devices[me], peer, opened=False)
            if move is not None:
                assert not move.acks
                assert all(link == self.link[pair] for link, _ in move.sends)
                devices = (*devices[:me], move.then, *devices[me + 1 :])
        return devices

    def _met(self, world: World, pair: tuple[int, int]) -> World:
        """Both ends hear that their connection is open."""
        for me, peer in (pair, pair[::-1]):
            move = self._connection(world.devices[me], peer, opened=True)
            if move is not None:
                world = self._after(world, me, move)
        return world

    def _acknowledged(self, number: int, acks: tuple[tuple[SessionId, int, int], ...]) -> int:
        acked = {session: list(versions) for session, versions in self.acked.values[number]}
        for session, part, version in acks:
            versions = acked.setdefault(session, [0] * self.scope.parts)
            versions[part] = max(versions[part], version)
        return self.acked.number(tuple(sorted((session, tuple(versions)) for session, versions in acked.items())))

    # --- working out --------------------------------------------------------------------------------

    def _local_moves(self, number: int, next_txn: int) -> tuple[Move, ...]:
        key = number, next_txn
        known = self._local.get(key)
        if known is None:
            device = self.devices.values[number]
            found = (self._work_out(number, happens) for happens in choices(device, self.scope, next_txn))
            known = self._local[key] = tuple(move for move in found if move is not None)
        return known

    def _taking(self, number: int, inbox: int) -> tuple[Move, ...]:
        """Messages of an inbox that change anything."""
        key = number, inbox
        known = self._taken.get(key)
        if known is None:
            moves = []
            rest = inbox
            while rest:
                bit = rest & -rest
                rest ^= bit
                move = self._delivery(number, bit.bit_length() - 1)
                if move is not None and (move.then != number or move.sends or move.violation):
                    moves.append(move)
            known = self._taken[key] = tuple(moves)
        return known

    def _delivery(self, number: int, message: int) -> Move | None:
        key = number, message
        if key not in self._delivered:
            sender, _, content = self.messages.values[message]
            label = f"gets {describe(content)} from {cast.NAMES[sender]}"
            self._delivered[key] = self._work_out(number, Input(label, node.deliver, (sender, content)), message)
        return self._delivered[key]

    def _connection(self, number: int, peer: int, *, opened: bool) -> Move | None:
        key = number, peer, opened
        if key not in self._connected:
            act = node.dialled if opened else node.lost
            self._connected[key] = self._work_out(number, Input("", act, (cast.device_id(peer),)))
        return self._connected[key]

    def _learning(self, number: int, teacher: int) -> tuple[Move, ...]:
        key = number, teacher
        known = self._learned.get(key)
        if known is None:
            moves = []
            device = self.devices.values[teacher]
            for _, held in device.durable.held:
                for end in range(1, len(held.chain) + 1, 2):
                    label = f"hears the history of epoch {(end + 1) // 2} from {cast.NAMES[device.me]}"
                    up = device.me
                    kind = Kind.WISH if self.gone is None else Kind.PROGRESS
                    move = self._work_out(number, Input(label, node.learn, (held.chain[:end],), kind, up=up))
                    if move is not None and move.then != number:
                        moves.append(move)
            known = self._learned[key] = tuple(moves)
        return known

    def _restart(self, number: int) -> int:
        known = self._restarted.get(number)
        if known is None:
            known = self._restarted[number] = self._number(node.restarted(self.devices.values[number]))
        return known

    def _work_out(self, number: int, happens: Input, message: int = -1) -> Move | None:
        device = self.devices.values[number]
        violation = None
        try:
            doing = node.run(device, happens, self.scope)
        except BeyondScopeError:
            self.pruned += 1
            return None
        except DefectError as error:
            doing = Doing(device, 0, 0)
            violation = f"defect: {error}"
        me = device.me
        up = 0 if happens.up is None else self.link[me, happens.up]
        down = 0 if happens.down is None else self.link[me, happens.down]
        return Move(
            label=" ".join((happens.label, f"({', '.join(doing.did)})" if doing.did else "")).strip(),
            progress=happens.kind is Kind.PROGRESS,
            up=up,
            down=down,
            begins=happens.begins,
            then=self._number(doing.device()),
            sends=self._messages(me, doing.sends),
            acks=tuple(doing.acks),
            crashes=self._between(device, doing),
            message=message,
            violation=violation or broken(device, doing),
        )

    def _between(self, device: Device, doing: Doing) -> tuple[tuple[int, tuple[tuple[int, int], ...]], ...]:
        """Crashes between two effects that leave something else than one before or behind the step."""
        found: dict[tuple[int, tuple[tuple[int, int], ...]], None] = {}
        outside: set[tuple[Durable, int]] = {(device.durable, 0), (doing.durable, len(doing.sends))}
        for durable, sent in doing.marks:
            if (durable, sent) not in outside:
                then = self._number(node.restarted(Device(device.me, durable, past=doing.past)))
                found[then, self._messages(device.me, doing.sends[:sent])] = None
        return tuple(found)

    def _messages(self, me: int, sends: list[tuple[int, Any]]) -> tuple[tuple[int, int], ...]:
        numbers = []
        for to, content in sends:
            link = self.link[me, to]
            fresh = len(self.messages.values)
            number = self.messages.number((me, to, content))
            if number == fresh:
                self.inbox[to] |= 1 << number
                self.of_pair[link] |= 1 << number
            numbers.append((link, number))
        return tuple(numbers)

    def _number(self, device: Device) -> int:
        fresh = len(self.devices.values)
        number = self.devices.number(device)
        if number == fresh:
            self.summary_of.append(self.summaries.number(invariants.summary(device)))
        return number
