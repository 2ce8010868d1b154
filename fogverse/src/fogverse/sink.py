"""Where outputs go: an idempotent producer with a bounded number of outputs under way."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from fogverse.assignment import Ticket
from fogverse.exit_codes import ExitCode
from fogverse.failures import TooLarge, undeliverable
from fogverse.faults import Fault
from fogverse.kafka_errors import is_refusal, is_too_large, passing, refused
from fogverse.message import Output
from fogverse.stopping import Stopping
from fogverse.throttle import Throttle

log = logging.getLogger(__name__)
kafka_log = logging.getLogger("fogverse.kafka")

#: Outputs under way from which on no new message is begun.
LIMIT = 5_000
#: Seconds without any acknowledgement after which the log says so.
STALL_S = 10.0


class Sink:
    """Produces outputs and tells when the last one of a message is acknowledged.

    All calls come from the loop's thread; callbacks run inside ``serve``, ``send`` and ``flush``. Messages are told of
    together, after the callbacks: what is done for each of them is most of what a message costs.

    Args:
        config: librdkafka's configuration.
        finished: called with the tickets all of whose outputs are acknowledged.
        too_large: called with an output that no broker takes; gives the dead letter to write instead, or None.
        stopping: bounds the wait for room in the producer's queue.
        waiting: called now and then during that wait, which may be as long as an outage.

    Attributes:
        fault: the first output that will never be delivered; the run must end.
    """

    def __init__(
        self,
        config: dict[str, Any],
        finished: Callable[[list[Ticket]], None],
        too_large: TooLarge,
        stopping: Stopping,
        waiting: Callable[[], None],
    ) -> None:
        self.fault: Fault | None = None
        self._finished = finished
        self._too_large = too_large
        self._alone: deque[tuple[Output, Ticket, bool]] = deque()
        self._complete: list[Ticket] = []
        self._stopping = stopping
        self._waiting = waiting
        self._outstanding = 0
        self._progress = monotonic()
        self._throttle = Throttle()
        self._replied = self._acknowledged  # bound once: one object less for each message
        self._producer = Producer(config | {"error_cb": self._failed}, logger=kafka_log)

    @property
    def outstanding(self) -> int:
        """Outputs handed over and not acknowledged."""
        return self._outstanding + len(self._alone)

    @property
    def room(self) -> int:
        """Outputs that may be handed over until no further message should be begun; 0 or less: none."""
        return 0 if self._alone else LIMIT - self._outstanding

    def emit(self, ticket: Ticket, outputs: list[Output]) -> None:
        """Produce all outputs of a message, which is finished once they are acknowledged; see ``send``."""
        ticket.outputs = ticket.unacknowledged = len(outputs)
        is_dead = ticket.dead
        for output in outputs:
            self.send(output, ticket)
            if ticket.dead != is_dead:
                break  # it was too large: the dead letter is on its way instead of all of them
        if not outputs:
            self._complete.append(ticket)

    def reply(self, ticket: Ticket, topic: str, value: bytes) -> None:
        """Produce the one output of a message that is the same record with a new value, as ``emit`` would.

        Raises:
            Fault: the producer will not take it, or stopping could not wait any longer.
        """
        message = ticket.message
        if not self._alone:
            try:
                self._producer.produce(
                    topic,
                    value,
                    message.key,
                    on_delivery=partial(self._replied, ticket),
                    headers=list(message.headers) or None,
                )
            except (BufferError, KafkaException):
                pass  # tried again below, where there is a way on or a word for it
            else:
                ticket.outputs = ticket.unacknowledged = 1
                if not self._outstanding:
                    self._progress = monotonic()
                self._outstanding += 1
                return
        self.emit(ticket, [Output(value, message.key, message.headers, topic)])

    def send(self, output: Output, ticket: Ticket) -> None:
        """Hand over one output of a message. Blocks, serving callbacks, while the producer's queue is full.

        Raises:
            Fault: the producer will not take it, or stopping could not wait any longer.
        """
        if self._alone:
            self._alone.append((output, ticket, ticket.dead))
        else:
            self._produce(output, ticket, is_letter=ticket.dead, alone=False)

    def serve(self, timeout_s: float = 0) -> None:
        """Run the callbacks of outputs acknowledged meanwhile, waiting at most so long for the first."""
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:  # it raises what ended the producer for good
            self._failed(error.args[0])
        self._tell()
        while self._alone and not self._outstanding and self.fault is None:
            output, ticket, is_letter = self._alone.popleft()
            if is_letter == ticket.dead:  # else its message has a dead letter by now
                self._produce(output, ticket, is_letter=is_letter, alone=True)

    def watch(self) -> None:
        """Say, at most once per ten seconds, when nothing has been acknowledged for long."""
        waited = monotonic() - self._progress
        if self._outstanding and waited > STALL_S and self._throttle.allows("stalled"):
            log.warning("%s", self.unacknowledged(f"no acknowledgement for {waited:.0f} s"))

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is acknowledged; False if the time was too short or an output failed."""
        deadline = monotonic() + timeout_s
        self._tell()
        while self.outstanding and self.fault is None and (left := deadline - monotonic()) > 0:
            self.serve(min(left, 0.1))
            self.watch()
        return not self.outstanding

    def close(self) -> None:
        """Drop what is still queued, so that ending the process waits for nothing."""
        self._producer.purge()
        self.serve(0)

    def unacknowledged(self, why: str) -> str:
        """The state of things in words."""
        return (
            f"{self.outstanding} outputs are not acknowledged, {why}: "
            "is the broker reachable, and does the target topic exist?"
        )

    def _tell(self) -> None:
        if self._complete:
            self._progress = monotonic()
            complete, self._complete = self._complete, []
            self._finished(complete)

    def _produce(self, output: Output, ticket: Ticket, *, is_letter: bool, alone: bool) -> None:
        callback = partial(self._answered, output, ticket, is_letter, alone)
        while True:
            try:
                self._producer.produce(
                    output.topic or "",
                    output.value,
                    output.key,
                    on_delivery=callback,
                    headers=list(output.headers) or None,
                )
            except BufferError:
                self.serve(0.05)
                if self.fault is not None:
                    raise self.fault from None
                if self._stopping.remaining_s == 0:
                    raise Fault(ExitCode.DRAIN_OVERRUN, self.unacknowledged("the drain timeout is over")) from None
                self.watch()
                self._waiting()
                continue
            except KafkaException as error:
                if is_too_large(error.args[0]) and self._buried(output, ticket, is_letter, error.args[0]):
                    return
                self.serve(0)  # after a fatal error produce() says just that; the callback tells which
                raise self.fault or undeliverable(error.args[0], ticket) from None
            break
        if not self._outstanding:
            self._progress = monotonic()
        self._outstanding += 1

    def _acknowledged(self, ticket: Ticket, error: KafkaError | None, record: Message) -> None:
        """What has become of a reply; its output is made only if there is a failure to tell of."""
        if error is None:
            self._outstanding -= 1
            self._complete.append(ticket)
        else:
            _value, key, headers, *_place = ticket.message
            output = Output(record.value(), key, headers, record.topic())
            self._answered(output, ticket, False, False, error, record)

    def _answered(
        self, output: Output, ticket: Ticket, is_letter: bool, alone: bool, error: KafkaError | None, record: Message
    ) -> None:
        self._outstanding -= 1
        if is_letter != ticket.dead:
            return  # another output of its message was too large: the dead letter counts
        if error is not None:
            if is_too_large(error):
                if not alone:
                    # The broker refuses what was sent together as a whole: which one it means shows one by one.
                    self._alone.append((output, ticket, is_letter))
                    return
                if self._buried(output, ticket, is_letter, error):
                    return
            self.fault = self.fault or undeliverable(error, ticket)
            return
        self._progress = monotonic()
        if output.delivered is not None:
            output.delivered(record.topic() or "", record.partition() or 0, record.offset() or 0)
        ticket.unacknowledged -= 1
        if not ticket.unacknowledged:
            self._complete.append(ticket)

    def _buried(self, output: Output, ticket: Ticket, is_letter: bool, error: KafkaError) -> bool:
        """Write a dead letter for the message of an output that nobody takes; False if that is not wanted."""
        letter = None if is_letter else self._too_large(ticket, output, error)
        if letter is None:
            return False
        ticket.dead = True
        ticket.outputs = ticket.unacknowledged = 1
        self._alone.appendleft((letter, ticket, True))
        return True

    def _failed(self, error: KafkaError) -> None:
        if is_refusal(error):
            self.fault = self.fault or Fault(ExitCode.REFUSED, refused("producer", error))
        elif self._throttle.allows(error.name()):
            log.warning("producer: %s", passing(error))
