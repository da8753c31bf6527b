# SPDX-License-Identifier: Apache-2.0
"""The sending half on a simulated path: everything arrives whatever is lost, and the rules of congestion hold."""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.engines.sctp_packets import (
    AT_ONCE,
    LAST,
    SERIALS,
    Acknowledgement,
    Fragment,
    Framing,
    PeerMisbehavedError,
    read,
)
from p2p_handoff.engines.sctp_receiving import Inbound
from p2p_handoff.engines.sctp_sending import (
    BACKOFF_MAX,
    BLOCKED_AFTER,
    BURST,
    GROWTH,
    INITIAL_WINDOW,
    PAYLOAD,
    RTO_INITIAL,
    RTO_MIN,
    STRIKES,
    SUSPECT_AFTER,
    Sender,
)
from p2p_handoff.limits import MIB, PEER_DEAD_AFTER
from p2p_handoff.protocol.channels import Channel

TAG = 7
STREAM = Channel.BULK.value
DELAY = 0.01


def sender(window: int = MIB, tsn: int = 1) -> Sender:
    return Sender(Framing(5000, 5000, TAG), tsn, window)


def fragment_of(packet: bytes) -> Fragment:
    found = read(packet, TAG)
    assert found is not None
    (fragment,) = found
    assert isinstance(fragment, Fragment)
    return fragment


def numbers(packets: list[bytes]) -> list[int]:
    return [fragment_of(packet).tsn for packet in packets]


def told(cumulative: int, *gaps: tuple[int, int], window: int = MIB) -> Acknowledgement:
    return Acknowledgement(cumulative % SERIALS, window, gaps)


@dataclass
class Path:
    """A path that loses, delays and repeats packets, with both halves at its ends and a clock of its own."""

    chance: random.Random
    loss: float
    jitter: float
    tsn: int
    now: float = 0.0
    received: list[bytes] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        self.sender = sender(tsn=self.tsn)
        self.inbound = Inbound((self.tsn - 1) % SERIALS, MIB)
        self._events: list[tuple[float, int, bytes | Acknowledgement]] = []

    def carry(self, messages: list[bytes]) -> None:
        """Run until everything has arrived and is acknowledged."""
        waiting = deque(messages)
        self._pour(waiting)
        while self.sender.deadline is not None:
            self._step()
            self._pour(waiting)

    def _pour(self, waiting: deque[bytes]) -> None:
        while True:
            for packet in self.sender.packets(self.now):
                self._put(packet)
            if not waiting or not self.sender.is_idle:
                return
            self.sender.add(STREAM, 53, waiting.popleft())

    def _put(self, item: bytes | Acknowledgement) -> None:
        self.sent += 1
        copies = 2 if self.chance.random() < self.loss / 4 else 1
        for _ in range(copies):
            if self.chance.random() >= self.loss:
                arrival = self.now + DELAY * (1 + self.jitter * self.chance.random())
                heapq.heappush(self._events, (arrival, self.sent, item))

    def _step(self) -> None:
        deadline = self.sender.deadline
        assert deadline is not None, "something is under way"
        if not self._events or self._events[0][0] > deadline:
            self.now = deadline
            self.sender.expire(self.now)
            return
        self.now, _, item = heapq.heappop(self._events)
        if isinstance(item, Acknowledgement):
            self.sender.acknowledge(item, self.now)
            return
        self.received += [arrived.message for arrived in self.inbound.take(fragment_of(item))]
        if self.inbound.is_due():
            self._put(self.inbound.acknowledgement()[0])


@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.01, 0.1, 0.3]),
    jitter=st.sampled_from([0.0, 3.0]),
    sizes=st.lists(st.integers(1, 20 * PAYLOAD), min_size=1, max_size=8),
    tsn=st.sampled_from([0, 1, SERIALS - 9]),
)
def test_everything_arrives_once_and_in_order_whatever_a_path_does(
    seed: int, loss: float, jitter: float, sizes: list[int], tsn: int
) -> None:
    chance = random.Random(seed)
    path = Path(chance, loss, jitter, tsn)
    messages = [chance.randbytes(size) for size in sizes]
    path.carry(messages)
    assert path.received == messages
    assert path.sender.is_idle
    assert path.sender._in_flight == path.sender._lost == 0


def test_a_good_path_sends_nothing_twice() -> None:
    path = Path(random.Random(1), 0.0, 0.0, 1)
    path.carry([bytes(60 * PAYLOAD)] * 10)
    packets = 600
    assert path.inbound.cumulative == packets
    assert path.sent <= packets + packets / 2 + 11, (
        "an acknowledgement for every second packet, at once for each message"
    )


def test_a_little_loss_is_repaired_without_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(random.Random(2), 0.01, 0.0, 1)
    expired: list[float] = []
    monkeypatch.setattr(Sender, "expire", lambda _self, now: expired.append(now))
    waiting = deque([bytes(50 * PAYLOAD)] * 60)
    while path.inbound.cumulative < 2900 and not expired:
        path._pour(waiting)
        path._step()
    assert expired == []


# --- what may be sent -------------------------------------------------------------------------------


def test_a_new_association_sends_its_first_window_and_waits() -> None:
    it = sender()
    it.add(STREAM, 53, bytes(100 * PAYLOAD))
    assert numbers(it.packets(0.0)) == [1, 2, 3, 4]
    assert INITIAL_WINDOW <= 4 * PAYLOAD
    assert it.packets(0.0) == []
    assert it.deadline == RTO_INITIAL


def test_the_last_packet_of_a_message_asks_for_an_answer_at_once() -> None:
    it = sender()
    it.add(STREAM, 53, bytes(3 * PAYLOAD))
    flags = [fragment_of(packet).flags for packet in it.packets(0.0)]
    assert [flag & (LAST | AT_ONCE) for flag in flags] == [0, 0, LAST | AT_ONCE]
    assert it.is_idle


def test_slow_start_adds_no_more_than_two_packets_for_each_acknowledgement() -> None:
    it = sender()
    it.add(STREAM, 53, bytes(1000 * PAYLOAD))
    sent = numbers(it.packets(0.0))
    before = it.window.size
    it.acknowledge(told(sent[-1]), 0.01)
    assert it.window.size == before + GROWTH * PAYLOAD


def test_a_burst_is_bounded() -> None:
    it = sender()
    it.window.size = MIB
    it.add(STREAM, 53, bytes(1000 * PAYLOAD))
    assert len(it.packets(0.0)) == BURST


def test_the_peer_s_window_is_kept_and_probed_when_it_is_shut() -> None:
    it = sender()
    it.window.size = MIB
    it.add(STREAM, 53, bytes(1000 * PAYLOAD))
    sent = numbers(it.packets(0.0))
    it.acknowledge(told(sent[-1], window=0), 0.01)
    assert len(it.packets(0.01)) == 1, "one packet finds out whether it has opened"
    assert it.packets(0.01) == []
    it.acknowledge(told(sent[-1] + 1, window=3 * PAYLOAD), 0.02)
    assert len(it.packets(0.02)) == 3


# --- what is lost -----------------------------------------------------------------------------------


def flying(count: int) -> Sender:
    """A sender with so many packets under way, and more to send."""
    it = sender()
    it.window.size = count * PAYLOAD
    it.add(STREAM, 53, bytes(1000 * PAYLOAD))
    while len(it._sent) < count:
        it.packets(0.0)
    return it


def test_three_acknowledgements_of_later_packets_mean_a_loss() -> None:
    it = flying(20)
    for strike in range(STRIKES):
        assert 1 not in numbers(it.packets(0.01))
        it.acknowledge(told(0, (2, 2 + strike)), 0.01)
    assert numbers(it.packets(0.01))[0] == 1
    assert it.window.size == it.window.threshold == 10 * PAYLOAD


def test_a_packet_sent_again_is_not_struck_by_what_was_under_way_before_it() -> None:
    it = flying(20)
    for last in range(2, 5):
        it.acknowledge(told(0, (2, last)), 0.01)
    assert numbers(it.packets(0.01))[0] == 1
    for last in range(5, 15):
        it.acknowledge(told(0, (2, last)), 0.02)
        assert 1 not in numbers(it.packets(0.02))


def test_a_packet_that_is_lost_again_is_found_without_a_timeout() -> None:
    it = flying(20)
    for last in range(2, 21):
        it.acknowledge(told(0, (2, last)), 0.01)
        it.packets(0.01)
    newest = it.next_tsn - 2
    again: list[int] = []
    for last in range(21, newest + 1):
        it.acknowledge(told(0, (2, last)), 0.02)
        again += numbers(it.packets(0.02))
    assert again.count(1) >= 1


def test_a_recovery_halves_the_window_once() -> None:
    it = flying(40)
    for last in range(4, 30):
        it.acknowledge(told(0, (2, 2), (4, last)), 0.01)
        it.packets(0.01)
    assert it.window.size == 20 * PAYLOAD
    it.acknowledge(told(it.next_tsn - 2), 0.02)
    assert it.window.recovery_exit is None


def test_a_timeout_sends_again_only_what_the_peer_lacks() -> None:
    it = flying(4)
    it.acknowledge(told(0, (2, 2), (4, 4)), 0.01)
    it.expire(2.0)
    assert it.window.size == PAYLOAD
    repeated = numbers(it.packets(2.0))
    it.acknowledge(told(2, (2, 2)), 2.1)
    repeated += numbers(it.packets(2.1))
    assert repeated[:2] == [1, 3]


def test_a_lost_packet_is_sent_several_times_before_its_peer_would_seem_dead() -> None:
    it = flying(1)
    for _ in range(20):
        it.round_trip.measured(0.001)
    it.deadline = now = 0.0
    waits: list[float] = []
    while sum(waits) < PEER_DEAD_AFTER:
        it.expire(now)
        assert numbers(it.packets(now)) == [1]
        waits.append(it.deadline - now)
        now = it.deadline
    assert waits == pytest.approx([RTO_MIN, 2 * RTO_MIN, BACKOFF_MAX, BACKOFF_MAX])
    it.acknowledge(told(1), now)
    it.packets(now)
    assert it.deadline == pytest.approx(now + RTO_MIN), "the peer answered: the patience is the path's again"


def test_a_slow_path_is_given_its_time() -> None:
    it = flying(1)
    it.round_trip.measured(2.0)
    it.expire(10.0)
    assert it.deadline == 10.0 + it.round_trip.patience > 10.0 + BACKOFF_MAX


def test_an_acknowledgement_that_was_overtaken_changes_nothing() -> None:
    it = flying(10)
    it.acknowledge(told(8), 0.01)
    before = (it._in_flight, it.window.size, len(it._sent))
    it.acknowledge(told(3, (3, 4)), 0.02)
    assert (it._in_flight, it.window.size, len(it._sent)) == before


@pytest.mark.parametrize(
    "lie",
    [told(11), told(SERIALS // 2 - 1), told(0, (2, 11)), told(0, (3, 2)), told(0, (4, 5), (2, 3)), told(0, (0, 3))],
)
def test_what_was_never_sent_cannot_have_arrived(lie: Acknowledgement) -> None:
    with pytest.raises(PeerMisbehavedError):
        flying(10).acknowledge(lie, 0.01)


@given(st.data())
def test_no_acknowledgement_breaks_the_books(data: st.DataObject) -> None:
    it = flying(12)
    for _ in range(data.draw(st.integers(1, 6))):
        gaps = data.draw(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=3))
        lie = told(data.draw(st.integers(0, 14)), *gaps)
        try:
            it.acknowledge(lie, 0.01)
        except PeerMisbehavedError:
            return  # The association is aborted.
        it.packets(0.01)
        assert it._in_flight == sum(sent.size for sent in it._sent if sent.in_flight)
        assert it._lost == sum(sent.lost for sent in it._sent)


# --- larger packets -----------------------------------------------------------------------------------


def test_larger_packets_follow_in_the_middle_of_a_message() -> None:
    it = sender()
    it.add(STREAM, 53, bytes(4 * PAYLOAD + 3000))
    first = [fragment_of(packet) for packet in it.packets(0.0)]
    it.enlarge(1400)
    it.acknowledge(told(first[-1].tsn), 0.01)
    rest = [fragment_of(packet) for packet in it.packets(0.01)]
    assert [len(fragment.payload) for fragment in first + rest] == [PAYLOAD] * 4 + [PAYLOAD, 1400, 440]
    assert rest[-1].flags & LAST


def test_a_larger_packet_that_never_passes_blocks_and_new_ones_are_small_again() -> None:
    it = sender()
    it.enlarge(1400)
    it.add(STREAM, 53, bytes(100 * PAYLOAD))
    it.packets(0.0)
    for timeout in range(BLOCKED_AFTER):
        assert not it.is_blocked
        assert it.window.unit == (1400 if timeout < SUSPECT_AFTER else PAYLOAD)
        it.expire(timeout)
        it.packets(timeout)
    assert it.is_blocked
    it.enlarge(1400)
    assert it.window.unit == PAYLOAD, "a late answer does not count against what was just seen"


def test_a_small_packet_that_does_not_pass_blocks_nothing() -> None:
    it = flying(4)
    for timeout in range(2 * BLOCKED_AFTER):
        it.expire(timeout)
        it.packets(timeout)
    assert not it.is_blocked
