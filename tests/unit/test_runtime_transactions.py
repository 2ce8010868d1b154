"""Transactions that do not go well: what is aborted, produced again, given up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, cast

from confluent_kafka import KafkaError, TopicPartition

from fogverse import ExitCode, Message, Output
from fogverse.assignment import Assignment, Ticket
from fogverse.source import Source
from fogverse.transactions import BACK_OFF_S, EVERY, INTERVAL_S, Transactions
from fogverse.transactor import Phase, Transactor

OUTPUT = Output(b"refused", topic="out")
TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)


class FakeTransactor:
    """A producer whose transactions end as the test says."""

    def __init__(self) -> None:
        self.fault, self.phase, self.begun, self.open = None, Phase.OPEN, False, True
        self.undelivered: deque[tuple[Ticket, Output, KafkaError]] = deque()
        self.acknowledged: deque[Callable[[], None]] = deque()
        self.ends: Phase | None = None
        self.log: list[Any] = []

    def serve(self, _timeout_s: float) -> Phase | None:
        ended, self.ends = self.ends, None
        if ended is not None:
            self.open, self.begun = True, False
        return ended

    def begin(self) -> None:
        self.begun = True

    def produce(self, output: Output, _ticket: Ticket) -> bool:
        self.log.append(output.value)
        return True

    def commit(self, offsets: list[TopicPartition], _membership: object) -> None:
        self.log.append([(offset.partition, offset.offset) for offset in offsets])
        self.open = False

    def abort(self) -> None:
        self.log.append("abort")
        self.open = False


class FakeSource:
    """A member of no group."""

    def membership(self) -> object:
        return None


class World:
    """Transactions with a clock, and what they say about messages."""

    def __init__(self) -> None:
        self.now = 0.0
        self.buries = True
        self.assignment = Assignment()
        self.assignment.add([("t", 0), ("t", 1)])
        self.fake = FakeTransactor()
        self.finished: list[str] = []
        self.dropped: list[str] = []
        self.transactions = Transactions(
            cast("Transactor", self.fake),
            self.assignment,
            cast("Source", FakeSource()),
            lambda tickets: self.finished.extend(ticket.message.place for ticket in tickets),
            lambda ticket: self.dropped.append(ticket.message.place),
            lambda *_refusal: Output(b"dead", topic="dead") if self.buries else None,
            lambda: self.now,
        )

    def begin(self, offset: int, partition: int = 0) -> Ticket:
        ticket = self.assignment.begin(Message(b"", None, (), "t", partition, offset))
        assert ticket is not None
        return ticket

    def emit(self, ticket: Ticket, *values: bytes) -> None:
        self.transactions.emit(ticket, [Output(value, topic="out") for value in values])

    def serve(self, after_s: float = 0, ends: Phase | None = None) -> list[Any]:
        """What is asked of the producer."""
        self.now += after_s
        self.fake.ends = ends
        self.fake.log.clear()
        self.transactions.serve()
        return list(self.fake.log)


def test_what_overtakes_waits_for_the_prefix_and_goes_with_it() -> None:
    """Else the position would not cover an output that is visible already."""
    world = World()
    slow, fast = world.begin(5), world.begin(6)
    world.emit(fast, b"fast")
    assert world.serve(INTERVAL_S) == []
    world.emit(slow, b"slow")
    assert world.serve() == [b"slow", b"fast"]
    assert world.serve(INTERVAL_S) == [[(0, 7)]]
    assert world.finished == []
    world.serve(ends=Phase.COMMITTING)
    assert world.finished == ["t[0]@5", "t[0]@6"]
    assert world.transactions.outstanding == 0


def test_an_aborted_transaction_is_produced_again_without_calling_anybody() -> None:
    """And what was finished meanwhile comes after it."""
    world = World()
    world.emit(world.begin(0), b"a")
    assert world.serve() == [b"a"]
    world.emit(world.begin(1), b"b")
    assert world.serve(ends=Phase.ABORTING) == []
    assert world.serve(BACK_OFF_S) == [b"a", b"b"]
    assert world.serve(INTERVAL_S) == [[(0, 2)]]


def test_a_transaction_with_messages_of_a_partition_that_is_gone_is_aborted() -> None:
    """Their next owner repeats them; what is still ours is produced again."""
    world = World()
    world.emit(world.begin(0, 0), b"gone")
    world.emit(world.begin(0, 1), b"ours")
    assert world.serve() == [b"gone", b"ours"]
    world.assignment.remove([("t", 0)])
    assert world.serve(INTERVAL_S) == ["abort"]
    world.serve(ends=Phase.ABORTING)
    assert world.serve(BACK_OFF_S) == [b"ours"]
    assert world.dropped == ["t[0]@0"]
    assert world.serve(INTERVAL_S) == [[(1, 1)]]


def test_what_waits_for_a_partition_that_is_gone_is_forgotten() -> None:
    """Else it would stay in memory for ever, and in flight in every report."""
    world = World()
    world.begin(0)
    world.emit(world.begin(1), b"x")
    world.assignment.remove([("t", 0)])
    world.transactions.look()
    assert world.dropped == ["t[0]@1"]
    assert world.serve(INTERVAL_S) == []


def test_an_output_that_is_refused_takes_its_followers_along_and_nothing_before_it() -> None:
    """The run ends there, and what was finished before is committed."""
    world = World()
    world.buries = False
    for offset, value in enumerate((b"a", b"bad", b"c")):
        world.emit(ticket := world.begin(offset), value)
        if value == b"bad":
            refused = ticket
    world.serve()
    world.fake.undelivered.append((refused, OUTPUT, TOO_LARGE))
    assert world.serve() == ["abort"]
    world.serve(ends=Phase.ABORTING)
    assert world.transactions.fault is not None
    assert world.transactions.fault.code is ExitCode.CALLABLE_FAILED
    assert "t[0]@1 is not acceptable" in world.transactions.fault.text
    world.emit(world.begin(3), b"d")
    assert world.dropped == ["t[0]@1", "t[0]@2", "t[0]@3"]
    assert world.serve(BACK_OFF_S) == [b"a"]
    assert world.serve(INTERVAL_S) == [[(0, 1)]]


def test_many_outputs_do_not_wait_for_the_time_and_too_many_hold_up_the_fetching() -> None:
    """Else a fast service would be limited by the clock, or fill the memory of a small device."""
    world = World()
    for offset in range(EVERY):
        world.emit(world.begin(offset))
    assert world.serve() == [[(0, EVERY)]]
    assert not world.transactions.full
    for offset in range(EVERY, 3 * EVERY):
        world.emit(world.begin(offset))
    assert world.transactions.full


def test_a_message_with_an_output_that_is_too_large_is_buried_in_the_next_transaction() -> None:
    """Else one large output would end an instance that is told to bury what fails."""
    world = World()
    large, small = world.begin(5), world.begin(6)
    world.emit(large, b"large")
    world.emit(small, b"small")
    assert world.serve() == [b"large", b"small"]
    world.fake.undelivered.append((large, OUTPUT, TOO_LARGE))
    assert world.serve() == ["abort"]
    assert world.serve(ends=Phase.ABORTING) == []
    assert world.serve(BACK_OFF_S) == [b"dead", b"small"]
    assert large.dead
    assert not small.dead
    assert world.transactions.fault is None


def test_of_outputs_that_are_refused_together_only_the_one_that_is_too_large_is_buried() -> None:
    """The broker refuses a whole batch for one of its records: innocent messages would be buried with it."""
    world = World()
    first, large = world.begin(5), world.begin(6)
    world.emit(first, b"first")
    world.emit(large, b"large")
    world.serve()
    world.fake.undelivered.extend([(first, OUTPUT, TOO_LARGE), (large, OUTPUT, TOO_LARGE)])
    assert world.serve() == ["abort"]
    world.serve(ends=Phase.ABORTING)
    assert world.serve(BACK_OFF_S) == [b"first", [(0, 6)]]
    assert world.serve(ends=Phase.COMMITTING) == [b"large", [(0, 7)]]
    world.fake.open = True
    world.fake.undelivered.append((large, OUTPUT, TOO_LARGE))
    assert world.serve() == ["abort"]
    world.serve(ends=Phase.ABORTING)
    assert world.serve(BACK_OFF_S) == [b"dead", [(0, 7)]]
    assert world.finished == ["t[0]@5"]


def test_an_output_that_is_too_large_ends_the_run_where_nothing_is_buried() -> None:
    world = World()
    world.buries = False
    large = world.begin(5)
    world.emit(large, b"large")
    world.serve()
    world.fake.undelivered.append((large, OUTPUT, TOO_LARGE))
    assert world.serve() == ["abort"]
    world.serve(ends=Phase.ABORTING)
    fault = world.transactions.fault
    assert fault is not None
    assert "t[0]@5" in fault.text


def test_a_program_hears_of_its_output_when_it_is_committed_and_not_before() -> None:
    """What is acknowledged inside a transaction may still be undone."""
    world = World()
    told: list[str] = []
    world.emit(world.begin(5), b"a")
    world.serve()
    world.fake.acknowledged.append(lambda: told.append("aborted"))
    world.serve(INTERVAL_S)
    world.serve(ends=Phase.ABORTING)
    world.serve(BACK_OFF_S)
    world.fake.acknowledged.append(lambda: told.append("committed"))
    world.serve(INTERVAL_S)
    assert told == []
    world.serve(ends=Phase.COMMITTING)
    assert told == ["committed"]
