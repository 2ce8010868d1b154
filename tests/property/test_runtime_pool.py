"""Property: however calls end and partitions come and go, order is kept, nothing is lost, bounds hold."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from queue import SimpleQueue
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from fogverse import Message
from fogverse.assignment import Assignment, Partition
from fogverse.bounds import PATIENCE_S, Bounds
from fogverse.job import Job
from fogverse.packing import Batches, Chunks, Packing
from fogverse.pool import Pool
from fogverse.source import Source
from fogverse.threads import Crew

PARTITIONS: list[Partition] = [("t", 0), ("t", 1)]
KEYS = [b"a", b"b", b"c", None]


class Hands(Crew):
    """A crew whose calls begin and end when the test says so; it may give back what it has not called for."""

    def __init__(self, done: SimpleQueue[list[Job]]) -> None:
        self.done = done
        self.given: list[list[Job]] = []
        self.running: list[list[Job]] = []

    def start(self) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Nothing to end."""

    def give(self, jobs: list[Job]) -> None:
        self.given.append(jobs)

    def begin(self, index: int) -> None:
        jobs = self.given.pop(index)
        self.done.put([job for job in jobs if job.dropped])
        self.running.append([job for job in jobs if not job.dropped])
        for job in self.running[-1]:
            job.started_s, job.ended_s, job.together, job.error = 1.0, 0.0, len(self.running[-1]), None

    def end(self, index: int, called: int = 1_000_000, *, well: bool = True) -> None:
        """The call is over, for the first ``called`` jobs of the bundle; the others come back as they were."""
        jobs = self.running.pop(index)
        for number, job in enumerate(jobs):
            job.ended_s = 2.0
            job.returned = number >= called
            job.error = None if well or number < called - 1 else ValueError()
        self.done.put(jobs)


class World:
    """A pool with everything around it, and what happened to each message."""

    def __init__(self, ordering: str, packing: Packing | None = None) -> None:
        self.ordering = ordering
        self.leaving: set[Partition] = set()
        self.hands: Hands | None = None
        self.assignment = Assignment()
        self.assignment.add(PARTITIONS)
        self.pool = Pool(self._crew, ordering, lambda job: self._leave("abandoned", job), packing)
        self.left: Counter[int] = Counter()
        self.jobs: dict[int, Job] = {}
        self.keys: dict[tuple[Partition, int], bytes | None] = {}
        self.produced: dict[Hashable, list[int]] = defaultdict(list)
        self.fate: dict[int, str] = {}
        self.halted: dict[Hashable, int] = {}
        self.next: dict[Partition, int] = dict.fromkeys(PARTITIONS, 0)
        self.base: dict[Partition, int] = dict.fromkeys(PARTITIONS, 0)

    def _crew(self, done: SimpleQueue[list[Job]]) -> Hands:
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
        offset = self.next[partition]
        # What is read again is the same message.
        key = self.keys.setdefault((partition, offset), key)
        ticket = self.assignment.begin(Message(b"", key, (), *partition, offset))
        self.next[partition] += 1
        assert ticket is not None
        job = Job(ticket, 0.0)
        self.jobs[id(job)] = job
        self.pool.put(job)

    def finish(self) -> None:
        """Let everything end well, and look at what has become of it."""
        hands = self.hands
        assert hands is not None
        self.pool.trim([])  # a drain: nothing more is to come
        for _ in range(4 * len(self.jobs) + 4):
            while hands.given:
                hands.begin(0)
            while hands.running:
                hands.end(0)
            self.settle()
        assert len(self.pool) == 0
        assert set(self.left) == set(self.jobs)
        assert set(self.left.values()) <= {1}, "a message left twice"
        for lane, offsets in self.produced.items():
            # A repetition goes back to where the position was; what comes for the first time comes in order.
            firsts = list(dict.fromkeys(offsets))
            assert firsts == sorted(firsts), lane
            if lane in self.halted:
                assert firsts[-1] < self.halted[lane], "something followed what will not be finished"

    def settle(self, failing: int = 0, *, halting: bool = False) -> None:
        """Take back what has ended; the first ``failing`` of it has failed and is to be tried again.

        With ``halting`` what has failed is given up, as a run does that is about to end.
        """
        for number, job in enumerate(self.pool.collect(0)):
            if job.fenced:
                self._leave("fenced", job)
            elif halting and job.error is not None and (lane := self.lane(job)) is not None:
                self._leave("halted", job)
                self.pool.halt(job)
                self.halted[lane] = job.ticket.message.offset
                continue
            elif (number < failing and job.together == 1) or job.error is not None:
                job.single = job.single or job.together > 1
                if job.partition in self.leaving:
                    self._leave("abandoned", job)
                    self.pool.halt(job)
                else:
                    self.pool.retry(job, 1e-6 if number % 2 else 0.0)
                continue
            else:
                message = job.ticket.message
                lane = self.lane(job)
                if lane is not None:
                    self.produced[lane].append(message.offset)
                self._leave("produced", job)
                job.ticket.finish()
            self.pool.release(job)


PACKINGS = [
    None,
    lambda: Chunks(2),
    lambda: Batches(3, 0.0, 2),
    lambda: Batches(4, 3600.0, 1),  # only full ones, until there is a hurry
]


@given(data=st.data(), ordering=st.sampled_from(["none", "key", "partition"]), packing=st.sampled_from(PACKINGS))
def test_random_completions_never_break_an_order_nor_lose_a_message(
    data: st.DataObject, ordering: str, packing: Callable[[], Packing] | None
) -> None:
    """If this fails, a device mixes up the messages of a key, or leaves some out without a word."""
    world = World(ordering, packing and packing())
    hands = world.hands
    assert hands is not None
    for _ in range(data.draw(st.integers(1, 60))):
        act = data.draw(
            st.sampled_from(["put", "put", "put", "begin", "begin", "end", "part", "settle", "trim", "fence"])
        )
        if act == "put":
            world.put(data.draw(st.sampled_from(PARTITIONS)), data.draw(st.sampled_from(KEYS)))
        elif act == "begin" and hands.given:
            hands.begin(0)
        elif act == "end" and hands.running:
            hands.end(data.draw(st.integers(0, len(hands.running) - 1)))
        elif act == "part" and hands.running:
            # A worker that died, or skipped what follows a failure: some done, perhaps one failed, the rest returned.
            hands.end(data.draw(st.integers(0, len(hands.running) - 1)), data.draw(st.integers(0, 3)), well=False)
        elif act == "settle":
            world.settle(data.draw(st.integers(0, 2)))
        elif act in ("trim", "fence"):
            partition = data.draw(st.sampled_from(PARTITIONS))
            world.leaving.add(partition)  # nothing more of it is fetched
            world.pool.trim([partition])
            if act == "fence":
                world.take_away(partition)
        lanes = [lane for jobs in hands.running for lane in {world.lane(job) for job in jobs} if lane is not None]
        assert len(lanes) == len(set(lanes)), "two workers with messages of one lane at a time"
    world.pool.trim([])  # a drain: nothing more is to come
    world.finish()


@given(data=st.data(), ordering=st.sampled_from(["key", "partition"]), count=st.integers(1, 20))
def test_bundles_that_break_off_or_fail_in_the_middle_keep_the_order(
    data: st.DataObject, ordering: str, count: int
) -> None:
    """If this fails, a worker that dies, or one message that fails, mixes up what was sent along with it."""
    world = World(ordering, Batches(data.draw(st.integers(1, 8)), 0.0, 2))
    hands = world.hands
    assert hands is not None
    for _ in range(count):
        world.put(PARTITIONS[0], data.draw(st.sampled_from(KEYS[:2])))
    for _ in range(data.draw(st.integers(1, 12))):
        world.settle(halting=data.draw(st.booleans()) and data.draw(st.booleans()))
        while hands.given:
            hands.begin(0)
        if hands.running:
            hands.end(data.draw(st.integers(0, len(hands.running) - 1)), data.draw(st.integers(0, 9)), well=False)
    world.finish()


class FakeSource:
    """A source that only remembers whether it is held."""

    def __init__(self) -> None:
        self.held = False

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
        open_ones = [p for p in PARTITIONS if not bounds.full(p)]
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
