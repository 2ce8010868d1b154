"""Which positions are committed: one too far loses messages, one of a partition given away repeats others' work."""

from __future__ import annotations

import pytest

from fogverse import Message
from fogverse.assignment import Assignment, Ticket
from fogverse.offsets import OffsetTracker

P0, P1 = ("t", 0), ("t", 1)


def message(offset: int, partition: int = 0) -> Message:
    return Message(b"", topic="t", partition=partition, offset=offset)


def begun(assignment: Assignment, offset: int, partition: int = 0) -> Ticket:
    ticket = assignment.begin(message(offset, partition))
    assert ticket is not None
    return ticket


def test_the_position_waits_for_the_oldest_unfinished_offset() -> None:
    tracker = OffsetTracker()
    for offset in (5, 6, 9):  # 7 and 8 are not there: a compacted topic
        tracker.start(offset)
    seen = []
    for offset in (6, 5, 9):
        tracker.finish(offset)
        seen.append((tracker.position, tracker.unfinished))
    assert seen == [(None, 2), (7, 1), (10, 0)]


def test_offsets_that_go_back_are_an_error() -> None:
    tracker = OffsetTracker()
    tracker.start(5)
    with pytest.raises(ValueError, match="only go up"):
        tracker.start(5)


def test_only_what_the_broker_does_not_have_yet_is_committed() -> None:
    """Else an idle instance would commit each second for ever."""
    assignment = Assignment()
    assignment.add([P0, P1])
    begun(assignment, 7).finish()
    begun(assignment, 3, 1).finish()
    assert assignment.committable() == {P0: 8, P1: 4}
    assert assignment.committable([P1, ("t", 9)]) == {P1: 4}
    assignment.committed({P0: 8})
    assert assignment.committable() == {P1: 4}


def test_messages_of_a_partition_given_up_are_not_processed() -> None:
    assignment = Assignment()
    assignment.add([P0])
    assignment.remove([P0])
    assert assignment.begin(message(1)) is None


def test_what_finishes_after_the_partition_came_back_moves_no_position() -> None:
    """Else messages that another member had in between would be skipped."""
    assignment = Assignment()
    assignment.add([P0])
    late = begun(assignment, 50)
    assignment.remove([P0])
    assignment.add([P0])
    begun(assignment, 40)
    late.finish()
    assert assignment.committable() == {}


def test_a_log_that_starts_again_is_followed() -> None:
    """Else a topic that was deleted and made anew would never be consumed again."""
    assignment = Assignment()
    assignment.add([P0])
    begun(assignment, 50).finish()
    assignment.committed({P0: 51})
    begun(assignment, 0).finish()
    assert assignment.committable() == {P0: 1}
