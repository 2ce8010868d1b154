"""Working on one message at a time, in the thread of the loop: nothing is faster where nothing has to wait."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from fogverse.assignment import Partition
from fogverse.engine import BUSY_S, IDLE_S, Engine
from fogverse.failures import failed_call
from fogverse.kafka_config import LONGEST_CALL_S
from fogverse.lifecycle import Lifecycle
from fogverse.message import Message, Output, Returned, outputs_of
from fogverse.meter import Meter
from fogverse.settings import Settings
from fogverse.stopping import Stopping


class SerialWorker:
    """Calls the callable, which keeps every order there is: by partition and hence by key."""

    def __init__(self, process: Callable[[Message], Returned], meter: Meter, target_topic: str | None) -> None:
        self._process = process
        self._meter = meter
        self._target_topic = target_topic

    def run(self, message: Message) -> list[Output]:
        """The outputs for one message. Blocks as long as the callable does.

        Raises:
            Fault: the callable raised, or returned what is no output.
        """
        self._meter.call_began()
        try:
            # A generator does its work while it is read: that is the callable's time and its failure too.
            return outputs_of(self._process(message), message, self._target_topic)
        except (Exception, SystemExit) as error:
            self._meter.message_failed()
            raise failed_call(message, error) from error
        finally:
            self._meter.call_ended()


class Serial(Engine):
    """The loop that calls the callable itself."""

    #: A call may last until the group takes the member for dead; from then on a restart costs nothing any more.
    silent_s = LONGEST_CALL_S + Engine.silent_s

    def __init__(
        self,
        settings: Settings,
        process: Callable[[Message], Returned],
        meter: Meter,
        stopping: Stopping,
        lifecycle: Lifecycle,
        first_finished: Callable[[], None],
    ) -> None:
        super().__init__(settings, meter, stopping, lifecycle, first_finished)
        self._worker = SerialWorker(process, meter, settings.target_topic)

    def _advance(self) -> None:
        self._delivery.serve()
        if self._delivery.full:
            self._source.hold()
            self._delivery.serve(0.05)
            message = self._source.fetch(0)
        else:
            self._source.release()
            message = self._source.fetch(BUSY_S if self._delivery.outstanding else IDLE_S)
        if message is None:
            return
        ticket = self._assignment.begin(message)
        if ticket is not None:
            self._meter.message_begun()
            began_s = monotonic()
            outputs = self._worker.run(message)
            self._meter.call_timed(None, (monotonic() - began_s) * 1000)
            self._emit(ticket, outputs)

    def _work_off(self, partitions: list[Partition], timeout_s: float, *, in_fetch: bool) -> bool:  # noqa: ARG002
        return True  # between two messages nothing is being worked on

    def _losing(self, partitions: list[Partition]) -> None:
        """Nothing is being worked on."""
