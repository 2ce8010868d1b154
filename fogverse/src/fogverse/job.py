"""One message in the pool, and those that go to a worker together."""

from __future__ import annotations

from fogverse.assignment import Partition, Ticket
from fogverse.message import Output


class Bundle:
    """Jobs that one worker has been given together.

    Attributes:
        out: how many of them have not come back.
    """

    __slots__ = ("out",)

    def __init__(self, out: int) -> None:
        self.out = out


class Job:
    """A message from being fetched to being produced, retried or given up.

    The loop's thread owns it, except while a worker has it; ``dropped`` is read by the worker.

    Attributes:
        ticket: the message, and the tracker that its end is told to.
        begun_s: when it was fetched, monotonic seconds.
        started_s: when its latest call began; None before the first.
        ended_s: when its latest call ended; 0 while it lasts.
        due_s: when it may be called for again; 0 for at once.
        failures: calls that failed.
        together: messages that its latest call was about; more than one of a batch.
        outputs: what the latest call returned.
        error: why the latest call failed; None if it did not.
        bundle: with which others it was given to a worker.
        single: it is to be called for alone: it was among those of a call that failed, or of a worker that died.
        returned: it came back without a result: another worker may take it.
        dropped: it shall not be started (any more): its partition is being given up, or the run is ending.
        fenced: its partition is not ours any more; whatever comes of it is thrown away.
        stuck: it has been reported as taking too long.
    """

    __slots__ = (
        "begun_s",
        "bundle",
        "dropped",
        "due_s",
        "ended_s",
        "error",
        "failures",
        "fenced",
        "outputs",
        "returned",
        "single",
        "started_s",
        "stuck",
        "ticket",
        "together",
    )

    def __init__(self, ticket: Ticket, begun_s: float) -> None:
        self.ticket = ticket
        self.begun_s = begun_s
        self.started_s: float | None = None
        self.ended_s = self.due_s = 0.0
        self.failures = 0
        self.together = 1
        self.outputs: list[Output] = []
        self.error: BaseException | None = None
        self.bundle: Bundle | None = None
        self.single = self.returned = self.dropped = self.fenced = self.stuck = False

    @property
    def partition(self) -> Partition:
        """Where it comes from."""
        message = self.ticket.message
        return message.topic, message.partition
