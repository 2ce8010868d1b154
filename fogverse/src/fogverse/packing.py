"""How many messages go to a worker together. Pure."""

from __future__ import annotations

from typing import Protocol

#: Bundles given per worker: one being worked on, one that is there when it is done.
AHEAD = 2
#: Seconds of work that cross a process border together.
CHUNK_S = 0.02
#: Messages that cross a process border together at most.
CHUNK = 256


class Packing(Protocol):
    """Says how many messages make a bundle now.

    Attributes:
        most: messages in a bundle at most.
        room: bundles that may be out at the same time.
    """

    @property
    def most(self) -> int:
        """Messages in a bundle at most."""

    @property
    def room(self) -> int:
        """Bundles that may be out."""

    def size(self, available: int, out: int, waited_s: float) -> int:
        """How many messages to give away together now; 0 to wait.

        Args:
            available: messages that may start, counted up to ``most`` for each bundle there is room for.
            out: bundles that have not come back.
            waited_s: age of the oldest of them, seconds; infinite if nothing more is to be waited for.
        """

    def note(self, seconds: float) -> None:
        """A call for one message has taken so long."""


class Batches:
    """Bundles for a function that takes a list: full ones, or what there is when the oldest has waited enough.

    Args:
        size: messages in a full one.
        wait_s: seconds that the oldest waits for company, if a worker is free.
        workers: how many can be worked on at once.
    """

    def __init__(self, size: int, wait_s: float, workers: int) -> None:
        self.most = size
        self.room = AHEAD * workers
        self._wait_s = wait_s
        self._workers = workers

    def size(self, available: int, out: int, waited_s: float) -> int:
        """A full bundle if there is one; else all there is, late enough and if somebody is free."""
        if available >= self.most:
            return self.most
        return available if out < self._workers and waited_s >= self._wait_s else 0

    def note(self, seconds: float) -> None:
        """Does not matter here."""


class Chunks:
    """Bundles of single calls for worker processes: each takes its share of what is there, at once.

    Crossing the border costs as much as many a call, so short ones go together; but nothing waits for company,
    and what takes long goes alone. It grows careful at once and bold slowly: one slow message among fast ones
    is remembered for some hundred calls.

    Args:
        workers: how many can be worked on at once.
    """

    def __init__(self, workers: int) -> None:
        self.room = AHEAD * workers
        self._call_s = CHUNK_S

    @property
    def most(self) -> int:
        """As many as make ``CHUNK_S`` of work."""
        return max(1, min(CHUNK, int(CHUNK_S / self._call_s)))

    def size(self, available: int, out: int, waited_s: float) -> int:  # noqa: ARG002 -- nothing waits
        """The share of one bundle in what there is."""
        return min(self.most, -(-available // (self.room - out)))

    def note(self, seconds: float) -> None:
        """Follow the time of a call: up at once, down slowly."""
        self._call_s = max(1e-6, seconds if seconds > self._call_s else self._call_s + (seconds - self._call_s) / 50)
