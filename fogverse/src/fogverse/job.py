"""One message in the pool."""

from __future__ import annotations

from fogverse.assignment import Partition, Ticket
from fogverse.message import Output


class Job:
    """A message from being fetched to being produced, retried or given up.

    The loop's thread owns it, except while a worker has it; ``dropped`` is read by the worker.

    Attributes:
        ticket: the message, and the tracker that its end is told to.
        begun_s: when it was fetched, monotonic seconds.
        started_s: when its latest call began; None before the first.
        ended_s: when its latest call ended; 0 while it lasts.
        failures: calls that failed.
        outputs: what the latest call returned.
        error: why the latest call failed; None if it did not.
        dropped: it shall not be started (any more): its partition is being given up, or the run is ending.
        fenced: its partition is not ours any more; whatever comes of it is thrown away.
        stuck: it has been reported as taking too long.
    """

    __slots__ = (
        "begun_s",
        "dropped",
        "ended_s",
        "error",
        "failures",
        "fenced",
        "outputs",
        "started_s",
        "stuck",
        "ticket",
    )

    def __init__(self, ticket: Ticket, begun_s: float) -> None:
        self.ticket = ticket
        self.begun_s = begun_s
        self.started_s: float | None = None
        self.ended_s = 0.0
        self.failures = 0
        self.outputs: list[Output] = []
        self.error: BaseException | None = None
        self.dropped = self.fenced = self.stuck = False

    @property
    def partition(self) -> Partition:
        """Where it comes from."""
        message = self.ticket.message
        return message.topic, message.partition
