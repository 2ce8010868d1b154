"""Exactly-once: outputs and positions go to the broker together, in one transaction after the other."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic

from confluent_kafka import KafkaError, TopicPartition

from fogverse.assignment import Assignment, Partition, Ticket
from fogverse.failures import TooLarge, undeliverable
from fogverse.faults import Fault
from fogverse.kafka_errors import is_too_large
from fogverse.message import Output
from fogverse.offsets import OffsetTracker
from fogverse.prefix import Done, Prefix
from fogverse.sink import LIMIT, STALL_S
from fogverse.source import Source
from fogverse.throttle import Throttle
from fogverse.transactor import Phase, Transactor

log = logging.getLogger(__name__)

#: Seconds between a transaction's first message and its commit: how much later a reader sees an output.
INTERVAL_S = 0.15
#: Outputs (messages without any count as one) after which a commit does not wait for its time.
EVERY = 2_000
#: Bytes of outputs not committed from which on no new message is begun.
LIMIT_BYTES = 32_000_000
#: Seconds after an aborted transaction before its messages are produced again.
BACK_OFF_S = 0.25


class Transactions:
    """Produces what is finished without a gap, and commits it together with the positions.

    Kafka's consume-process-produce (KIP-98, KIP-447): the outputs of a message and the position behind it become
    visible in the same instant or never. The group's generation goes along, so that the broker refuses a member
    whose partitions others have by now; the transactional id fences an older process with the same name.

    The outputs of a transaction stay here until it is committed. When it is aborted, they are produced again in the
    next: no message is processed twice for that. What finishes while a commit is under way queues up here.

    Args:
        transactor: produces.
        assignment: knows which messages still count.
        source: knows this member's standing in the group.
        finished: called with the tickets of messages that are committed.
        dropped: called with the ticket of each that will not be: its partition was given up, or the run ends.
        too_large: gives the dead letter for an output that no broker takes.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        transactor: Transactor,
        assignment: Assignment,
        source: Source,
        finished: Callable[[list[Ticket]], None],
        dropped: Callable[[Ticket], None],
        too_large: TooLarge,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._transactor = transactor
        self._assignment = assignment
        self._source = source
        self._finished = finished
        self._dropped = dropped
        self._too_large = too_large
        self._clock = clock
        self._prefix = Prefix(assignment)
        self._ready: deque[Done] = deque()
        self._inside: list[Done] = []
        self._barred: set[OffsetTracker] = set()
        self._undeliverable: Fault | None = None
        self._size = self._size_inside = self._bytes = 0
        self._at_once = False
        self._suspects = 0
        self._due = self._not_before = 0.0
        self._progress = clock()
        self._throttle = Throttle()

    @property
    def fault(self) -> Fault | None:
        """Why nothing more can be committed, or which output cannot be delivered; the run must end."""
        return self._transactor.fault or self._undeliverable

    @property
    def outstanding(self) -> int:
        """Messages finished without a gap and not committed."""
        return len(self._ready) + len(self._inside)

    @property
    def full(self) -> bool:
        """Whether no further message should be begun for now."""
        return self._size >= LIMIT or self._bytes >= LIMIT_BYTES

    def emit(self, ticket: Ticket, outputs: list[Output]) -> None:
        """Take the outputs of a message; it counts as finished once they are committed. Never blocks."""
        if not self.outstanding:
            self._progress = self._clock()
        ticket.outputs = len(outputs)
        self._count(outputs, 1)
        for done in self._prefix.put(Done(ticket, outputs)):
            if done.ticket.tracker in self._barred:
                self._drop(done)
            else:
                self._ready.append(done)

    def serve(self, timeout_s: float = 0) -> None:
        """Go on with what can go on now."""
        transactor = self._transactor
        ended = transactor.serve(timeout_s)
        if ended is Phase.COMMITTING:
            self._committed()
        elif ended is Phase.ABORTING:
            self._aborted()
        if transactor.open and (self._ready or self._inside or transactor.undelivered):
            self._advance()

    def look(self) -> None:
        """Forget what is no longer ours; say, at most once per ten seconds, when nothing is committed for long."""
        for done in self._prefix.purge():
            self._drop(done)
        waited = self._clock() - self._progress
        waiting = self.outstanding or self._transactor.phase is Phase.STARTING
        if waiting and waited > STALL_S and self._throttle.allows("stall"):
            log.warning("%s", self._uncommitted(f"nothing was committed for {waited:.0f} s"))

    def settle(self, _partitions: list[Partition], timeout_s: float) -> None:
        """Commit what is finished, since partitions are about to be given up.

        What cannot be committed in time is aborted later, when they are no longer ours: whoever has them then
        waits for the end of this transaction before it reads their positions.
        """
        if not self._flush(timeout_s):
            log.warning("%s", self._uncommitted("and partitions have to be given up: they will be repeated"))

    def drain(self, timeout_s: float) -> bool:
        """Commit everything that is finished without a gap; False if the time was too short."""
        # The source is held, and is served all the same: partitions may be lost meanwhile, or the group's generation.
        flushed = self._flush(timeout_s, lambda: self._source.fetch(0))
        if not flushed:
            log.error("%s", self._uncommitted("giving up: they will be processed again"))
        return flushed

    def close(self) -> None:
        """Let go of the producer."""
        self._transactor.close()

    def _advance(self) -> None:
        transactor, now = self._transactor, self._clock()
        if transactor.undelivered:
            if transactor.begun:
                transactor.abort()
            else:
                self._give_up_undelivered()
            return
        if now < self._not_before:
            return
        if not transactor.begun:
            transactor.begin()
            self._due = now + INTERVAL_S
        self._fill()
        if not transactor.open or (self._ready and self._ready[0].produced):
            return  # never between two outputs of a message
        hurry = self._at_once or self._suspects > 0
        if self._inside and (hurry or now >= self._due or self._size_inside >= EVERY):
            self._commit()

    def _fill(self) -> None:
        """Produce what is ready, as far as the producer's queue takes it."""
        while self._ready and not (self._suspects and self._inside):
            done = self._ready[0]
            if not self._assignment.counts(done.ticket):
                if done.produced:
                    self._transactor.abort()
                    return
                self._drop(self._ready.popleft())
                continue
            while done.produced < len(done.outputs):
                if not self._transactor.produce(done.outputs[done.produced], done.ticket):
                    return
                done.produced += 1
            self._inside.append(self._ready.popleft())
            self._size_inside += _size(done.outputs)

    def _commit(self) -> None:
        if not all(self._assignment.counts(done.ticket) for done in self._inside):
            self._transactor.abort()
            return
        positions = {(done.ticket.message.topic, done.ticket.message.partition): done.ticket for done in self._inside}
        offsets = [TopicPartition(*where, ticket.message.offset + 1) for where, ticket in positions.items()]
        self._transactor.commit(offsets, self._source.membership())

    def _committed(self) -> None:
        self._progress = self._clock()
        inside, self._inside = self._inside, []
        self._size_inside = 0
        self._suspects = max(0, self._suspects - len(inside))
        while self._transactor.acknowledged:
            self._transactor.acknowledged.popleft()()
        for done in inside:
            self._count(done.outputs, -1)
        self._finished([done.ticket for done in inside])

    def _aborted(self) -> None:
        self._not_before = self._clock() + BACK_OFF_S
        self._ready.extendleft(reversed(self._inside))
        self._inside = []
        self._size_inside = 0
        self._transactor.acknowledged.clear()
        for done in self._ready:
            done.produced = 0
        self._give_up_undelivered()

    def _give_up_undelivered(self) -> None:
        undelivered = self._transactor.undelivered
        refused: dict[Ticket, tuple[Output, KafkaError]] = {}
        while undelivered:
            ticket, output, error = undelivered.popleft()
            if not self._assignment.counts(ticket):
                continue
            if is_too_large(error):
                refused.setdefault(ticket, (output, error))
            else:
                self._give_up(ticket, error)
        if len(refused) > 1:
            # The broker refuses what was sent together as a whole: transactions of one message show which one it means.
            self._suspects = len(self._ready)
            return
        for ticket, (output, error) in refused.items():
            self._bury(ticket, output, error)

    def _give_up(self, ticket: Ticket, error: KafkaError) -> None:
        self._undeliverable = self._undeliverable or undeliverable(error, ticket)
        self._bar(ticket)

    def _bury(self, ticket: Ticket, output: Output, error: KafkaError) -> None:
        letter = None if ticket.dead else self._too_large(ticket, output, error)
        done = next((done for done in self._ready if done.ticket is ticket), None)
        if letter is None or done is None:
            self._give_up(ticket, error)
            return
        self._count(done.outputs, -1)
        done.outputs = [letter]
        self._count(done.outputs, 1)
        ticket.dead = True
        ticket.outputs = 1

    def _bar(self, ticket: Ticket) -> None:
        """A message can never be committed, and neither can what follows it in its partition."""
        self._barred.add(ticket.tracker)
        kept: deque[Done] = deque()
        for done in self._ready:
            if done.ticket.tracker is ticket.tracker and done.ticket.message.offset >= ticket.message.offset:
                self._drop(done)
            else:
                kept.append(done)
        self._ready = kept

    def _flush(self, timeout_s: float, meanwhile: Callable[[], object] = lambda: None) -> bool:
        deadline = self._clock() + timeout_s
        self._at_once = True
        self.serve()
        while self.outstanding and not self._transactor.fault and (left := deadline - self._clock()) > 0:
            self.serve(min(left, 0.01))
            self.look()
            meanwhile()
        self._at_once = False
        return not self.outstanding

    def _drop(self, done: Done) -> None:
        self._count(done.outputs, -1)
        self._dropped(done.ticket)

    def _count(self, outputs: list[Output], sign: int) -> None:
        self._size += sign * _size(outputs)
        self._bytes += sign * sum(len(output.value or b"") for output in outputs)

    def _uncommitted(self, why: str) -> str:
        return (
            f"{self.outstanding} finished messages are not committed, {why}: is the broker reachable, "
            "does the target topic exist, and are transactions allowed?"
        )


def _size(outputs: list[Output]) -> int:
    return max(1, len(outputs))
