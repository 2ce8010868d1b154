"""The short way for an output that is the same record with a new value: it must end where the long one does."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from fogverse import Message, sink
from fogverse.assignment import Assignment, Ticket
from fogverse.faults import Fault
from fogverse.sink import LIMIT, Sink
from fogverse.stopping import Stopping

HEADERS = (("trace", b"1"),)


class Client:
    """A producer that answers, when it is polled, what the test tells it to."""

    def __init__(self, *_arguments: object, **_more: object) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.waiting: list[tuple[Callable[..., None], Any]] = []
        self.error: KafkaError | None = None
        self.refusals: list[Exception] = []

    def produce(self, topic: str, value: bytes, key: bytes, *, on_delivery: Any, headers: Any) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.sent.append((topic, value, key, headers))
        self.waiting.append((on_delivery, SimpleNamespace(value=lambda: value, topic=lambda: topic)))

    def poll(self, _timeout_s: float) -> None:
        waiting, self.waiting = self.waiting, []
        for answer, record in waiting:
            answer(self.error, record)


class World:
    """A sink, and the messages it has told of."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.client = Client()
        self.told: list[list[int]] = []
        patch.setattr(sink, "Producer", lambda *_arguments, **_more: self.client)
        self.assignment = Assignment()
        self.assignment.add([("t", 0)])
        self.sink = Sink(
            {},
            lambda tickets: self.told.append([ticket.message.offset for ticket in tickets]),
            lambda *_refused: None,
            Stopping(1),
            lambda: None,
        )

    def ticket(self, offset: int, headers: tuple[tuple[str, bytes | None], ...] = ()) -> Ticket:
        ticket = self.assignment.begin(Message(b"in", b"k", headers, "t", 0, offset))
        assert ticket is not None
        return ticket


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_reply_keeps_key_and_headers_and_its_message_is_finished_when_acknowledged(world: World) -> None:
    """Else the next stage loses the order of a key, or a position is committed before its output is safe."""
    world.sink.reply(world.ticket(0, HEADERS), "out", b"1")
    world.sink.reply(world.ticket(1), "out", b"2")
    assert world.client.sent == [("out", b"1", b"k", list(HEADERS)), ("out", b"2", b"k", None)]
    assert (world.told, world.sink.outstanding, world.sink.room) == ([], 2, LIMIT - 2)
    world.sink.serve()
    assert (world.told, world.sink.outstanding) == ([[0, 1]], 0)


def test_a_message_without_outputs_is_finished_with_the_next_look_and_before_positions_are_settled(
    world: World,
) -> None:
    """Else a sink's last messages would be repeated after each stop."""
    world.sink.emit(world.ticket(0), [])
    assert world.sink.flush(0)
    assert world.told == [[0]]


def test_a_reply_waits_for_room_in_the_producers_queue(world: World) -> None:
    """Else an outage would end the run instead of pausing it."""
    world.client.refusals = [BufferError(), BufferError()]
    world.sink.reply(world.ticket(0, HEADERS), "out", b"1")
    world.sink.serve()
    assert (world.client.sent, world.told) == ([("out", b"1", b"k", list(HEADERS))], [[0]])


def test_a_reply_that_is_never_delivered_ends_the_run_and_is_not_finished(world: World) -> None:
    """Else its position would be committed, and the output is lost."""
    world.client.error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    world.sink.reply(world.ticket(7), "out", b"1")
    world.sink.serve()
    assert world.told == []
    assert world.sink.fault is not None
    assert "t[0]@7" in world.sink.fault.text


def test_a_reply_that_the_producer_refuses_is_told_as_any_other_output(world: World) -> None:
    world.client.refusals = [KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))] * 2
    with pytest.raises(Fault, match=r"t\[0\]@7"):
        world.sink.reply(world.ticket(7), "out", b"1")


def test_replies_that_a_broker_refuses_together_are_sent_again_one_by_one_in_their_order(world: World) -> None:
    """Else one output that is too large takes down those that were sent along with it."""
    world.client.error = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
    for offset in range(2):
        world.sink.reply(world.ticket(offset, HEADERS), "out", b"%d" % offset)
    world.sink.serve()
    assert (world.sink.room, world.sink.outstanding) == (0, 2)
    world.client.error = None
    world.sink.reply(world.ticket(2), "out", b"2")  # must not overtake them
    while world.sink.outstanding:
        world.sink.serve()
    assert [sent[1] for sent in world.client.sent[2:]] == [b"0", b"1", b"2"]
    assert world.client.sent[2] == ("out", b"0", b"k", list(HEADERS))
    assert world.told == [[0], [1], [2]]
