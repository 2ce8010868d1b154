"""The loop that calls the callable itself: quick messages in bulk, slow ones one by one, and nothing lost between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fogverse import Message, Output
from fogverse import engine as engine_module
from fogverse import serial as serial_module
from fogverse.assignment import Assignment
from fogverse.bounds import PATIENCE_S
from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.lifecycle import Lifecycle
from fogverse.message import Returned
from fogverse.meter import Meter
from fogverse.serial import Serial
from fogverse.settings import Settings
from fogverse.stopping import Stopping


class Feed:
    """A source that gives what it has and notes what it is asked for."""

    def __init__(self, _config: object, _topic: str, _wait_s: float, assignment: Assignment, **told: Any) -> None:
        self.assignment, self.told = assignment, told
        self.at_once, self.held, self.asked = 1, False, 0
        self.records: list[Message] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def take(self, _timeout_s: float) -> list[Message]:
        self.asked += 1
        self.meanwhile()
        count = self.at_once
        taken, self.records = self.records[:count], self.records[count:]
        return taken

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False


class Sent:
    """A delivery that keeps what it is given, as far as there is room."""

    def __init__(self, *_arguments: object) -> None:
        self.kept: list[tuple[str, Any]] = []
        self.limit = 10_000
        self.outstanding = 0
        self.served = 0

    @property
    def room(self) -> int:
        return self.limit - len(self.kept)

    @property
    def full(self) -> bool:
        return self.room <= 0

    def serve(self, timeout_s: float = 0) -> None:
        self.served += timeout_s == 0

    def reply(self, ticket: Any, topic: str, value: bytes) -> None:
        self.kept.append((ticket.message.place, Output(value, topic=topic)))

    def emit(self, ticket: Any, outputs: list[Output]) -> None:
        self.kept.extend((ticket.message.place, output) for output in outputs)


class World:
    """One loop with a clock that the callable lets go on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.call_s: Callable[[Message], float] = lambda _message: 0.0
        self.called: list[tuple[int, int]] = []
        patch.setattr(engine_module, "Source", Feed)
        patch.setattr(engine_module, "AtLeastOnce", Sent)
        patch.setattr(serial_module, "monotonic", self.clock)
        self.stopping = Stopping(1)
        self.meter = Meter()
        self.settings = Settings(
            bootstrap_servers="b:1",
            source_topic="t",
            group_id="g",
            target_topic="out",
            service="s",
            instance="s@h.1",
            host="h",
        )
        self.loop = self.made(self.process)

    def made(self, process: Callable[[Message], Returned]) -> Serial:
        lifecycle = Lifecycle(None, None, self.stopping, lambda: None)
        loop: Any = Serial(self.settings, process, self.meter, self.stopping, lifecycle, lambda: None)
        self.feed: Feed = loop._source
        self.sent: Sent = loop._delivery
        self.feed.assignment.add([("t", 0), ("t", 1)])
        return loop

    def clock(self) -> float:
        self.now += 1e-6
        return self.now

    def process(self, message: Message) -> bytes:
        self.called.append((message.partition, message.offset))
        self.now += self.call_s(message)
        return message.value


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def records(count: int, partition: int = 0, first: int = 0) -> list[Message]:
    return [Message(b"x", b"k", (), "t", partition, first + n) for n in range(count)]


def test_quick_messages_are_worked_on_in_bulk(world: World) -> None:
    """Else looking at everything else between any two costs more than half of the throughput."""
    world.feed.records = records(1_000)
    for _ in range(4):
        world.loop._advance()
    assert world.called == [(0, n) for n in range(1_000)]
    assert world.feed.asked == 4
    assert world.meter.read().in_flight == 1_000


def test_between_slow_messages_everything_else_is_looked_at(world: World) -> None:
    """Else a rebalance of the whole group waits until one member has worked off its bulk."""
    world.feed.records = records(400)
    world.loop._advance()
    world.loop._advance()
    world.call_s = lambda _message: 1.0
    world.feed.records = records(400, first=400)
    world.loop._advance()
    called = len(world.called)
    asked, served = world.feed.asked, world.sent.served
    for _ in range(5):
        world.loop._advance()
    assert len(world.called) == called + 5
    assert (world.feed.asked - asked, world.sent.served - served) == (5, 5)
    assert world.called == [(0, n) for n in range(len(world.called))], "in their order"


@pytest.mark.parametrize("told", ["revoking", "losing"])
def test_what_is_taken_and_not_begun_goes_with_its_partition(world: World, told: str) -> None:
    """Else it would be worked on here and by its new owner."""
    world.feed.at_once = 20
    world.call_s = lambda _message: 1.0
    world.feed.records = records(2) + records(2, partition=1) + records(2, first=2)
    world.loop._advance()
    assert world.called == [(0, 0)]
    world.sent.settle = lambda *_given: None  # type: ignore[attr-defined]
    world.feed.meanwhile = lambda: world.feed.told[told]([("t", 0)])
    for _ in range(5):
        world.loop._advance()
    assert world.called == [(0, 0), (1, 0), (1, 1)]


def test_a_stop_is_noticed_before_the_next_message(world: World) -> None:
    """Else a drain begins with work that others could do."""
    world.feed.at_once = 20
    world.feed.records = records(20)
    world.call_s = lambda message: world.stopping.request("test") or 0.0 if message.offset == 4 else 0.0
    world.loop._advance()
    assert len(world.called) == 5


def test_no_message_is_begun_without_room_and_fetching_is_held_only_when_that_lasts(world: World) -> None:
    """Else an outage fills the memory, or a short wait makes the client fetch everything again."""
    world.feed.at_once = 20
    world.feed.records = records(20)
    world.sent.limit = 7
    for _ in range(3):
        world.loop._advance()
    assert (len(world.called), world.feed.held, world.feed.asked) == (7, False, 1)
    world.now += PATIENCE_S
    world.loop._advance()
    assert (len(world.called), world.feed.held, world.feed.asked) == (7, True, 2)
    world.sent.limit = 100
    world.loop._advance()
    assert (len(world.called), world.feed.held) == (20, False)


def test_each_call_is_timed_and_only_the_calls_count_as_busy(world: World) -> None:
    """Else the master computes a wrong rate for each instance."""
    world.feed.at_once = 20
    world.feed.records = records(4)
    world.call_s = lambda _message: 0.001
    world.loop._advance()
    reading = world.meter.read()
    assert reading.busy_s == pytest.approx(0.004, rel=0.01)
    assert reading.process_ms_p50 == pytest.approx(1, rel=0.01)


def test_a_failure_names_the_message_in_one_line_and_is_counted(world: World) -> None:
    """Else nobody finds the record that stops a service."""

    def process(_message: Message) -> Returned:
        raise ValueError("no\nJSON")

    loop = world.made(process)
    world.feed.records = records(2, partition=1, first=42)
    with pytest.raises(Fault) as caught:
        loop._advance()
    assert caught.value.code is ExitCode.CALLABLE_FAILED
    assert "t[1]@42: ValueError: no JSON (not committed" in caught.value.text
    reading = world.meter.read()
    assert (reading.failed, reading.in_flight) == (1, 0)


def test_a_generator_that_fails_on_the_way_produces_nothing(world: World) -> None:
    """Else its first outputs would be produced again and again with each restart."""

    def process(_message: Message) -> Iterator[bytes]:
        yield b"1"
        raise SystemExit

    loop = world.made(process)
    world.feed.records = records(1)
    with pytest.raises(Fault):
        loop._advance()
    assert world.sent.kept == []
