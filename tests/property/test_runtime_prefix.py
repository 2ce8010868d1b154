"""Property: what a transaction gets is the finished prefix of each partition, whatever overtakes whatever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fogverse import Message
from fogverse.assignment import Assignment, Partition, Ticket
from fogverse.prefix import Done, Prefix

PARTITIONS: list[Partition] = [("t", 0), ("t", 1)]


@given(data=st.data())
def test_outputs_come_out_in_the_order_of_offsets_without_a_gap(data: st.DataObject) -> None:
    """If this fails, a crash repeats an output that is committed already, or a position skips a message."""
    assignment = Assignment()
    assignment.add(PARTITIONS)
    prefix = Prefix(assignment)
    offsets = dict.fromkeys(PARTITIONS, 0)
    open_ones: list[Ticket] = []
    begun: dict[Partition, list[int]] = {partition: [] for partition in PARTITIONS}
    out: dict[Partition, list[int]] = {partition: [] for partition in PARTITIONS}
    put = purged = released = 0

    def take_back(index: int) -> None:
        nonlocal put, released
        put += 1
        for done in prefix.put(Done(open_ones.pop(index), [])):
            released += 1
            message = done.ticket.message
            if assignment.counts(done.ticket):
                out[(message.topic, message.partition)].append(message.offset)

    for _ in range(data.draw(st.integers(1, 60))):
        partition = data.draw(st.sampled_from(PARTITIONS))
        act = data.draw(st.sampled_from(["begin", "begin", "begin", "finish", "finish", "reassign"]))
        if act == "begin":
            offsets[partition] += data.draw(st.integers(1, 3))  # a compacted topic has gaps
            ticket = assignment.begin(Message(b"", None, (), *partition, offsets[partition]))
            assert ticket is not None
            open_ones.append(ticket)
            begun[partition].append(offsets[partition])
        elif act == "finish" and open_ones:
            take_back(data.draw(st.integers(0, len(open_ones) - 1)))
        elif act == "reassign":
            assignment.remove([partition])
            assignment.add([partition])
            begun[partition], out[partition] = [], []
            purged += len(prefix.purge())
        assert all(out[p] == begun[p][: len(out[p])] for p in PARTITIONS)
    while open_ones:
        take_back(0)
    purged += len(prefix.purge())
    assert out == begun
    assert put == released + purged, "a message was forgotten"
