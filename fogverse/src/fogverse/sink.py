"""Where outputs go: an idempotent producer with a bounded number of outputs under way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from fogverse.assignment import Ticket
from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.kafka_errors import is_bad_record, is_refusal, is_unknown_topic, passing
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

    All calls come from the loop's thread; callbacks run inside ``serve``, ``send`` and ``flush``.

    Args:
        config: librdkafka's configuration.
        finished: called with the ticket when all its outputs are acknowledged.
        stopping: bounds the wait for room in the producer's queue.
        waiting: called now and then during that wait, which may be as long as an outage.

    Attributes:
        fault: the first output that will never be delivered; the run must end.
    """

    def __init__(
        self,
        config: dict[str, Any],
        finished: Callable[[Ticket], None],
        stopping: Stopping,
        waiting: Callable[[], None],
    ) -> None:
        self.fault: Fault | None = None
        self._finished = finished
        self._stopping = stopping
        self._waiting = waiting
        self._outstanding = 0
        self._progress = monotonic()
        self._throttle = Throttle()
        self._producer = Producer(config | {"error_cb": self._failed}, logger=kafka_log)

    @property
    def outstanding(self) -> int:
        """Outputs handed over and not acknowledged."""
        return self._outstanding

    @property
    def full(self) -> bool:
        """Whether no further message should be begun for now."""
        return self._outstanding >= LIMIT

    def send(self, output: Output, ticket: Ticket) -> None:
        """Hand over one output of a message. Blocks, serving callbacks, while the producer's queue is full.

        Raises:
            Fault: the producer will not take it, or stopping could not wait any longer.
        """
        callback = partial(self._answered, ticket)
        while True:
            try:
                self._producer.produce(
                    output.topic or "", output.value, output.key, on_delivery=callback, headers=list(output.headers)
                )
            except BufferError:
                self._poll(0.05)
                if self.fault is not None:
                    raise self.fault from None
                if self._stopping.remaining_s == 0:
                    raise Fault(ExitCode.DRAIN_OVERRUN, self.unacknowledged("the drain timeout is over")) from None
                self.watch()
                self._waiting()
                continue
            except KafkaException as error:
                self._poll(0)  # after a fatal error produce() says just that; the callback tells which
                raise self.fault or self._verdict(error.args[0], ticket) from None
            break
        if not self._outstanding:
            self._progress = monotonic()
        self._outstanding += 1

    def serve(self, timeout_s: float = 0) -> None:
        """Run the callbacks of outputs acknowledged meanwhile."""
        self._poll(timeout_s)

    def watch(self) -> None:
        """Say, at most once per ten seconds, when nothing has been acknowledged for long."""
        waited = monotonic() - self._progress
        if self._outstanding and waited > STALL_S and self._throttle.allows("stalled"):
            log.warning("%s", self.unacknowledged(f"no acknowledgement for {waited:.0f} s"))

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is acknowledged; False if the time was too short or an output failed."""
        deadline = monotonic() + timeout_s
        while self._outstanding and self.fault is None and (left := deadline - monotonic()) > 0:
            self._poll(min(left, 0.1))
            self.watch()
        return not self._outstanding

    def close(self) -> None:
        """Drop what is still queued, so that ending the process waits for nothing."""
        self._producer.purge()
        self._poll(0)

    def unacknowledged(self, why: str) -> str:
        """The state of things in words."""
        return (
            f"{self._outstanding} outputs are not acknowledged, {why}: "
            "is the broker reachable, and does the target topic exist?"
        )

    def _poll(self, timeout_s: float) -> None:
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:  # it raises what ended the producer for good
            self._failed(error.args[0])

    def _answered(self, ticket: Ticket, error: KafkaError | None, _record: object) -> None:
        self._outstanding -= 1
        if error is not None:
            self.fault = self.fault or self._verdict(error, ticket)
            return
        self._progress = monotonic()
        ticket.unacknowledged -= 1
        if not ticket.unacknowledged:
            self._finished(ticket)

    def _failed(self, error: KafkaError) -> None:
        if is_refusal(error):
            self.fault = self.fault or Fault(ExitCode.REFUSED, f"the broker refuses the producer: {error.str()}")
        elif self._throttle.allows(error.name()):
            log.warning("producer: %s", passing(error))

    def _verdict(self, error: KafkaError, ticket: Ticket) -> Fault:
        place = ticket.message.place
        if ticket.dead:
            return Fault(
                ExitCode.CALLABLE_FAILED,
                f"the callable failed on {place}, and its dead letter cannot be written: {error.str()} (not committed)",
            )
        if is_bad_record(error):
            return Fault(
                ExitCode.CALLABLE_FAILED, f"an output for {place} is not acceptable: {error.str()} (not committed)"
            )
        hint = "; create the topic" if is_unknown_topic(error) else ""
        return Fault(ExitCode.REFUSED, f"an output for {place} cannot be delivered: {error.str()}{hint}")
