"""A transactional producer whose waiting calls do not keep the loop waiting."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from fogverse.assignment import Ticket
from fogverse.caller import TRY_S, Call, Caller
from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.kafka_errors import is_fenced, is_refusal, is_undeliverable, passing
from fogverse.message import Output
from fogverse.throttle import Throttle

log = logging.getLogger(__name__)
kafka_log = logging.getLogger("fogverse.kafka")

#: Seconds that handing positions to a transaction may take ...
SEND_S = 3.0
#: ... and after which it will never end: librdkafka forgets the request when it cannot find the group's coordinator
#: (https://github.com/confluentinc/librdkafka/issues/5456), which happens when a broker restarts.
STUCK_S = 5.0


class Phase(Enum):
    """What the producer is at. Only in ``OPEN`` can anything be asked of it."""

    STARTING = auto()
    OPEN = auto()
    SENDING = auto()
    COMMITTING = auto()
    ABORTING = auto()


class Transactor:
    """Begins, fills, commits and aborts transactions, one at a time.

    All calls come from the loop's thread; those that wait for the broker are made by a ``Caller``, and ``serve`` says
    how they ended. Errors that pass are worked against here; ``fault`` is set for those that do not.

    Args:
        config: librdkafka's configuration with a ``transactional.id``.
        clock: monotonic seconds.
        make: makes the producer.

    Attributes:
        fault: why there will be no further transaction.
        phase: what it is at.
        begun: whether a transaction is open.
        undelivered: outputs that will never be delivered, with the reason; they need an abort.
        acknowledged: tells the programs that asked for it of their outputs in this transaction, once it is committed.
    """

    def __init__(self, config: dict[str, Any], clock: Callable[[], float], make: Callable[..., Any] = Producer) -> None:
        self.fault: Fault | None = None
        self.phase = Phase.STARTING
        self.begun = False
        self.undelivered: deque[tuple[Ticket, Output, KafkaError]] = deque()  # callbacks may run in the caller's thread
        self.acknowledged: deque[Callable[[], None]] = deque()
        self._name = config["transactional.id"]
        self._clock = clock
        self._asked_at = 0.0
        self._throttle = Throttle()
        self._make = partial(make, config | {"error_cb": self._failed}, logger=kafka_log)
        self._start()

    @property
    def open(self) -> bool:
        """Whether outputs, a commit or an abort would be taken now."""
        return self.phase is Phase.OPEN and self.fault is None

    def serve(self, timeout_s: float) -> Phase | None:
        """Run callbacks; returns what has just been brought to an end: a commit, an abort, or nothing."""
        self._poll(timeout_s)
        if self.phase is Phase.OPEN:
            return None
        answer = self._caller.answer()
        if answer is not None:
            return self._answered(answer[0])
        if self.phase is Phase.SENDING and self._clock() - self._asked_at > STUCK_S:
            self._start_anew()
            return Phase.ABORTING
        return None

    def begin(self) -> None:
        """Begin a transaction, unless one is open."""
        if not self.begun:
            self._producer.begin_transaction()
            self.begun = True

    def produce(self, output: Output, ticket: Ticket) -> bool:
        """Put one output of a message into the transaction; False: not now, or the transaction is being aborted."""
        callback = partial(self._answered_for, ticket, output)
        try:
            self._producer.produce(
                output.topic or "", output.value, output.key, on_delivery=callback, headers=list(output.headers)
            )
        except BufferError:
            return False
        except KafkaException as error:
            self._not_delivered(ticket, output, error.args[0])
            self._poll(0)  # after a fatal error produce() says just that; this tells which
            if self.fault is None:
                self.abort()
            return False
        return True

    def commit(self, offsets: list[TopicPartition], membership: object) -> None:
        """Commit the transaction together with these positions of the group."""
        self._ask(Phase.SENDING, partial(self._producer.send_offsets_to_transaction, offsets, membership), SEND_S)

    def abort(self) -> None:
        """Undo the transaction."""
        self._ask(Phase.ABORTING, self._producer.abort_transaction)

    def close(self) -> None:
        """End the thread, and an open transaction too, so that nobody downstream has to wait for its time-out."""
        self._caller.close()
        if self.begun and self.open:
            try:
                self._producer.abort_transaction(TRY_S)
            except KafkaException as error:
                log.debug("the last transaction is left to the broker: %s", error.args[0].str())
        self._producer.purge()
        self._poll(0)

    def _start(self) -> None:
        self._producer = self._make()
        self._caller = Caller()
        self._ask(Phase.STARTING, self._producer.init_transactions)

    def _start_anew(self) -> None:
        """Replace a producer that is stuck. Its transaction is not committed; the new one ends and fences it."""
        log.warning("a transaction did not take positions for %.0f s: a new producer starts", STUCK_S)
        self._caller.leave()
        self._producer.purge(blocking=False)
        self.begun = False
        self._start()

    def _ask(self, phase: Phase, call: Call, try_s: float = TRY_S) -> None:
        self.phase = phase
        self._asked_at = self._clock()
        self._caller.ask(call, try_s)

    def _answered(self, error: KafkaError | None) -> Phase | None:
        phase, self.phase = self.phase, Phase.OPEN
        if error is None:
            if phase is Phase.SENDING:
                self._ask(Phase.COMMITTING, self._producer.commit_transaction)
                return None
            self.begun = False
            return phase
        may_abort = phase in (Phase.SENDING, Phase.COMMITTING) and error.txn_requires_abort()
        if not may_abort or is_refusal(error) or is_fenced(error):
            self._end(error)
            return None
        if self._throttle.allows("abort"):
            log.warning("a transaction is aborted and produced again: %s", error.str())
        self.abort()
        return None

    def _poll(self, timeout_s: float) -> None:
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:  # it raises what ended the producer for good
            self._failed(error.args[0])

    def _answered_for(self, ticket: Ticket, output: Output, error: KafkaError | None, record: Message) -> None:
        if error is not None:
            self._not_delivered(ticket, output, error)
        elif output.delivered is not None:
            place = (record.topic() or "", record.partition() or 0, record.offset() or 0)
            self.acknowledged.append(partial(output.delivered, *place))

    def _not_delivered(self, ticket: Ticket, output: Output, error: KafkaError) -> None:
        # Errors that pass need no note: the commit fails for them, and everything is produced again.
        if is_undeliverable(error):
            self.undelivered.append((ticket, output, error))

    def _failed(self, error: KafkaError) -> None:
        if is_refusal(error) or is_fenced(error):
            self._end(error)
        elif self._throttle.allows(error.name()):
            log.warning("producer: %s", passing(error))

    def _end(self, error: KafkaError) -> None:
        if is_fenced(error):
            text = (
                f"fenced: another process has taken over the transactions of {self._name}, or the broker ended one "
                "that it heard nothing of for too long; this process ends, and nothing it had not committed counts"
            )
            self.fault = self.fault or Fault(ExitCode.FENCED, text)
        self.fault = self.fault or Fault(ExitCode.REFUSED, f"the broker refuses transactions: {error.str()}")
