"""Working on one message at a time, in the thread of the loop: nothing is faster where nothing has to wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

from fogverse.assignment import Partition
from fogverse.bounds import PATIENCE_S
from fogverse.delivery import AtLeastOnce
from fogverse.engine import BUSY_S, IDLE_S, Engine
from fogverse.failures import failed_call
from fogverse.kafka_config import LONGEST_CALL_S
from fogverse.lifecycle import Lifecycle
from fogverse.message import Message, Returned, outputs_of
from fogverse.meter import Meter
from fogverse.settings import Settings
from fogverse.stopping import Stopping

#: Seconds of work before the loop looks at everything else again: rebalances, acknowledgements, its sign of life.
BULK_S = 0.005
#: Messages taken from the client with one call at most.
TAKEN = 500


class Serial(Engine):
    """The loop that calls the callable itself, which keeps every order there is: by partition and hence by key.

    Quick messages are taken and worked on in bulk, for a few milliseconds; with slow ones everything else
    is looked at between any two. What has been taken and not begun goes when its partition goes.
    """

    #: A call may last until the group takes the member for dead; from then on a restart costs nothing any more.
    silent_s = LONGEST_CALL_S + Engine.silent_s
    _delivery: AtLeastOnce

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
        self._process = process
        self._target_topic = settings.target_topic
        self._taken: deque[Message] = deque()
        self._full_since: float | None = None

    def _advance(self) -> None:
        delivery, source, taken = self._delivery, self._source, self._taken
        delivery.serve()
        if delivery.full:
            delivery.serve(0.05)
            now = monotonic()
            if self._full_since is None:
                self._full_since = now
            elif now - self._full_since >= PATIENCE_S:
                source.hold()
                taken.extend(source.take(0))
            return
        self._full_since = None
        source.release()
        # With some left from the time before, it is asked for the sake of rebalances.
        wait_s = 0.0 if taken else BUSY_S if delivery.outstanding else IDLE_S
        taken.extend(source.take(wait_s))
        if taken:
            self._work()

    def _work(self) -> None:
        """Work on what has been taken, as long as a bulk may last and there is room for outputs."""
        meter, stopping, begin, reply = self._meter, self._stopping, self._assignment.begin, self._delivery.reply
        taken, process, topic = self._taken, self._process, self._target_topic
        room = self._delivery.room
        busy_s = meter.own[0]
        calls_s: list[float] = []
        started = monotonic()
        until = started + BULK_S
        try:
            while taken and room > 0 and monotonic() < until and not stopping.requested:
                message = taken.popleft()
                ticket = begin(message)
                if ticket is None:
                    continue
                meter.message_begun()
                began = monotonic()
                meter.own = busy_s, began
                try:
                    returned = process(message)
                    # A generator does its work while it is read: that is the callable's time and its failure too.
                    outputs = None if type(returned) is bytes and topic else outputs_of(returned, message, topic)
                except (Exception, SystemExit) as error:
                    meter.message_failed()
                    raise failed_call(message, error) from error
                finally:
                    call_s = monotonic() - began
                    busy_s += call_s
                    meter.own = busy_s, None
                calls_s.append(call_s)
                if outputs is None:
                    reply(ticket, topic, returned)  # type: ignore[arg-type]  # text and bytes, as just seen
                    room -= 1
                else:
                    self._emit(ticket, outputs)
                    room -= len(outputs)
        finally:
            meter.calls_timed(calls_s)
        if calls_s:
            each_s = (monotonic() - started) / len(calls_s)
            self._source.at_once = max(1, min(TAKEN, int(BULK_S / each_s)))
        if taken:
            self._source.at_once = 1

    def _work_off(self, partitions: list[Partition], timeout_s: float, *, in_fetch: bool) -> bool:  # noqa: ARG002
        self._losing(partitions)
        return True  # between two messages nothing is being worked on

    def _losing(self, partitions: list[Partition]) -> None:
        kept = [message for message in self._taken if (message.topic, message.partition) not in partitions]
        self._taken.clear()
        self._taken.extend(kept)
