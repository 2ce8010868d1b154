"""Property: however calls end and partitions come and go, order is kept, nothing is lost, bounds hold."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable
from queue import SimpleQueue
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from fogverse import Message
from fogverse.assignment import Assignment, Partition
from fogverse.bounds import PATIENCE_S, Bounds
from fogverse.job import Job
from fogverse.pool import Pool
from fogverse.source import Source

PARTITIONS: list[Partition] = [("t", 0), ("t", 1)]
KEYS = [b"a", b"b", b"c", None]


class Hands:
    """A crew whose calls begin and end when the test says so."""

    def __init__(self, done: SimpleQueue[Job]) -> None:
        self.done = done
        self.given: list[Job] = []
        self.running: list[Job] = []

    def start(self) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Nothing to end."""

    def give(self, job: Job) -> None:
        self.given.append(job)

    def begin(self, index: int) -> None:
        job = self.given.pop(index)
        if job.dropped:
            self.done.put(job)
        else:
            job.started_s = 1.0
            self.running.append(job)

    def end(self, index: int) -> None:
        self.done.put(self.running.pop(index))


class World:
    """A pool with everything around it, and what happened to each message."""

    def __init__(self, ordering: str) -> None:
        self.ordering = ordering
        self.leaving: set[Partition] = set()
        self.hands: Hands | None = None
        self.assignment = Assignment()
        self.assignment.add(PARTITIONS)
        self.pool = Pool(self._crew, ordering, lambda job: self._leave("abandoned", job))
        self.left: Counter[int] = Counter()
        self.jobs: dict[int, Job] = {}
        self.produced: dict[Hashable, list[int]] = defaultdict(list)
        self.fate: dict[int, str] = {}
        self.next: dict[Partition, int] = dict.fromkeys(PARTITIONS, 0)
        self.base: dict[Partition, int] = dict.fromkeys(PARTITIONS, 0)

    def _crew(self, done: SimpleQueue[Job]) -> Hands:
        self.hands = Hands(done)
        return self.hands

    def _leave(self, how: str, job: Job) -> None:
        self.left[id(job)] += 1
        self.fate[id(job)] = how

    def lane(self, job: Job) -> Hashable:
        """What must keep its order with this job; None if nothing must."""
        key = job.ticket.message.key
        if self.ordering == "none" or (self.ordering == "key" and key is None):
            return None
        return (job.partition, key) if self.ordering == "key" else job.partition

    def take_away(self, partition: Partition) -> None:
        """Another instance has it for a moment; then it comes back from where it is committed."""
        self.leaving.discard(partition)
        self.pool.fence([partition])
        assert self.pool.of([partition]) == 0
        position = self.assignment.committable([partition]).get(partition, self.base[partition])
        self.assignment.remove([partition])
        self.assignment.add([partition])
        self.next[partition] = self.base[partition] = position

    def put(self, partition: Partition, key: bytes | None) -> None:
        if partition in self.leaving:
            return
        ticket = self.assignment.begin(Message(b"", key, (), *partition, self.next[partition]))
        self.next[partition] += 1
        assert ticket is not None
        job = Job(ticket, 0.0)
        self.jobs[id(job)] = job
        self.pool.put(job)

    def settle(self, failing: int = 0) -> None:
        """Take back what has ended; the first ``failing`` of it has failed and is to be tried again."""
        for number, job in enumerate(self.pool.collect(0)):
            if job.fenced:
                self._leave("fenced", job)
            elif number < failing:
                if job.partition in self.leaving:
                    self._leave("abandoned", job)
                    self.pool.halt(job)
                else:
                    self.pool.retry(job, 0.0)
                continue
            else:
                message = job.ticket.message
                lane = self.lane(job)
                if lane is not None:
                    self.produced[lane].append(message.offset)
                self._leave("produced", job)
                job.ticket.finish()
            self.pool.release(job)


@given(data=st.data(), ordering=st.sampled_from(["none", "key", "partition"]))
def test_random_completions_never_break_an_order_nor_lose_a_message(data: st.DataObject, ordering: str) -> None:
    """If this fails, a device mixes up the messages of a key, or leaves some out without a word."""
    world = World(ordering)
    hands = world.hands
    assert hands is not None
    for _ in range(data.draw(st.integers(1, 60))):
        act = data.draw(st.sampled_from(["put", "put", "put", "begin", "begin", "end", "settle", "trim", "fence"]))
        if act == "put":
            world.put(data.draw(st.sampled_from(PARTITIONS)), data.draw(st.sampled_from(KEYS)))
        elif act == "begin" and hands.given:
            hands.begin(0)
        elif act == "end" and hands.running:
            hands.end(data.draw(st.integers(0, len(hands.running) - 1)))
        elif act == "settle":
            world.settle(data.draw(st.integers(0, 2)))
        elif act in ("trim", "fence"):
            partition = data.draw(st.sampled_from(PARTITIONS))
            world.leaving.add(partition)  # nothing more of it is fetched
            world.pool.trim([partition])
            if act == "fence":
                world.take_away(partition)
        lanes = [lane for lane in map(world.lane, hands.running) if lane is not None]
        assert len(lanes) == len(set(lanes)), "two messages of one lane at a time"
    for _ in range(len(world.jobs) + 1):
        while hands.given:
            hands.begin(0)
        while hands.running:
            hands.end(0)
        world.settle()
    assert len(world.pool) == 0
    assert set(world.left) == set(world.jobs)
    assert set(world.left.values()) <= {1}, "a message left twice"
    for lane, offsets in world.produced.items():
        # A repetition goes back to where the position was; what comes for the first time comes in order.
        firsts = list(dict.fromkeys(offsets))
        assert firsts == sorted(firsts), lane


class FakeSource:
    """A source that only remembers what is paused."""

    def __init__(self) -> None:
        self.paused: set[Partition] = set()
        self.held = False

    def pause(self, partition: Partition) -> None:
        self.paused.add(partition)

    def resume(self, partition: Partition) -> None:
        self.paused.discard(partition)

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False


@given(
    seed=st.integers(0, 1_000_000),
    most=st.integers(1, 12),
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=80),
)
def test_what_is_under_way_never_exceeds_its_bounds(seed: int, most: int, sizes: list[int]) -> None:
    """If this fails, one slow message makes a small device run out of memory, or a crash repeats a whole topic."""
    chance = random.Random(seed)  # noqa: S311 -- picks moves
    now = 0.0
    assignment = Assignment()
    assignment.add(PARTITIONS)
    source = FakeSource()
    bounds = Bounds(cast("Source", source), assignment, most, 100, lambda: now)
    offsets = dict.fromkeys(PARTITIONS, 0)
    under_way = []
    share = max(1, most // 2)
    todo = list(sizes)
    for _ in range(2000):
        if not todo and not under_way:
            break
        if under_way and chance.random() < 0.5:
            ticket = under_way.pop(chance.randrange(len(under_way)))
            ticket.finish()
            bounds.left(ticket.message)
        now += PATIENCE_S / 2
        if not bounds.allow(sink_full=False) or source.held or not todo:
            continue
        open_ones = [p for p in PARTITIONS if p not in source.paused]
        if not open_ones:
            continue
        partition = chance.choice(open_ones)
        begun = assignment.begin(Message(b"x" * todo.pop(), None, (), *partition, offsets[partition]))
        assert begun is not None
        offsets[partition] += 1
        under_way.append(begun)
        bounds.begun(begun.message)
        assert assignment.span(partition) <= share
        assert sum(len(t.message.value) for t in under_way[:-1]) <= 100
    assert not todo
    assert not under_way, "something was left waiting for ever"
