"""What has been taken from the client in bulk and not been worked on yet: it must go back when its partition does."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition

from fogverse import source
from fogverse.assignment import Assignment, Partition
from fogverse.source import Source


class Record:
    def __init__(self, partition: int, offset: int, size: int = 1) -> None:
        self.error, self.key, self.headers = (lambda: None,) * 3
        self.value, self.topic = lambda: b"x" * size, lambda: "t"
        self.partition, self.offset, self.timestamp = lambda: partition, lambda: offset, lambda: (1, 0)


class Client:
    """Gives what is there, ``count`` at a time, and notes what it is asked for."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.asked: list[int] = []
        self.waited: list[tuple[int, float]] = []
        self.paused: set[int] = set()

    def consume(self, count: int, timeout_s: float) -> list[Record]:
        self.asked.append(count)
        self.waited.append((count, timeout_s))
        given, self.records = self.records[:count], self.records[count:]
        return given

    def poll(self, timeout_s: float) -> Record | None:
        return (self.consume(1, timeout_s) or [None])[0]

    def assignment(self) -> list[TopicPartition]:
        return []

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {p.partition for p in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {p.partition for p in partitions}

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None: ...


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setattr(source, "Consumer", lambda *_args, **_more: made)
    return made


def opened() -> Source:
    made = Source({}, "t", 1, Assignment(), revoking=print, losing=print, owning=lambda: None)
    made.at_once = 8
    return made


def places(opened: Source, count: int, full: Partition | None = None) -> list[tuple[int, int]]:
    fetched = (opened.fetch(0, lambda partition: partition == full) for _ in range(count))
    return [(message.partition, message.offset) for message in fetched if message is not None]


def test_a_partition_that_is_full_keeps_back_no_other(client: Client) -> None:
    """Else a backlog is worked off partition by partition, with the keys of one, and most workers are idle."""
    client.records = [Record(0, 0), Record(0, 1), Record(1, 5), Record(0, 2), Record(1, 6)]
    tested = opened()
    assert places(tested, 5, full=("t", 0)) == [(1, 5), (1, 6)]
    assert places(tested, 5) == [(0, 0), (0, 1), (0, 2)]


def test_a_partition_of_which_too_much_waits_is_paused_until_that_is_begun(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one slow message fills a small device's memory with those behind it."""
    monkeypatch.setattr("fogverse.inbox.MESSAGES", 2)
    client.records = [Record(0, n) for n in range(3)]
    tested = opened()
    assert places(tested, 2, full=("t", 0)) == []
    assert client.paused == {0}
    assert places(tested, 2) == [(0, 0), (0, 1)]
    assert client.paused == {0}
    assert places(tested, 1) == [(0, 2)]
    assert client.paused == set()


@pytest.mark.parametrize("end", ["_revoked", "_lost"])
def test_what_is_taken_of_a_partition_that_goes_is_dropped(client: Client, end: str) -> None:
    """Else it would be worked on here and by its new owner."""
    client.records = [Record(0, 0), Record(0, 1), Record(1, 5), Record(0, 2)]
    tested = opened()
    assert places(tested, 2) == [(0, 0), (0, 1)]
    getattr(tested, end)(client, [TopicPartition("t", 0)])
    assert places(tested, 3) == [(1, 5)]


def test_while_it_is_held_nothing_comes_and_the_client_is_still_served(client: Client) -> None:
    """Else a rebalance waits for as long as the limit lasts, and the member is taken for dead."""
    client.records = [Record(0, n) for n in range(3)]
    tested = opened()
    assert places(tested, 2) == [(0, 0), (0, 1)]
    tested.hold()
    served = len(client.asked)
    assert places(tested, 4) == []
    assert len(client.asked) == served + 4
    tested.release()
    assert places(tested, 4) == [(0, 2)]


def test_large_messages_are_taken_one_by_one(client: Client) -> None:
    """Else a hundred pictures wait in memory that no limit knows of."""
    client.records = [Record(0, n, size=source.TAKEN_BYTES) for n in range(9)]
    tested = opened()
    places(tested, 9)
    assert client.asked == [1] * 9


def test_nobody_waits_for_a_bulk_to_become_full(client: Client) -> None:
    """Else each message of a quiet topic is worked on a fifth of a second late."""
    tested = opened()
    for _ in range(3):
        client.records = [Record(0, len(client.waited))]
        tested.take(0.2)
        tested.take(0.2)
    assert (8, 0) in client.waited
    assert {count for count, timeout_s in client.waited if timeout_s > 0} == {1}


def test_when_less_may_be_taken_that_counts_at_once(client: Client) -> None:
    """Else a loop whose calls have become slow takes one more bulk, which others could work on."""
    client.records = [Record(0, n) for n in range(20)]
    tested = opened()
    assert [len(tested.take(0)), len(tested.take(0))] == [1, 8]
    tested.at_once = 1
    assert len(tested.take(0)) == 1
