"""Observer messages summed up: what is put into the window, who reported, what was refused."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from orchestrator.core.report import Message, Pair, Rejected, Report, Throughput, parse
from orchestrator.core.signals import REPORTED, SENT
from orchestrator.core.window import Signal


@dataclass(frozen=True, slots=True)
class Sample:
    """A message that was refused: where it stood, why, and how it began."""

    partition: int
    offset: int
    at: float
    reason: str
    beginning: str


@dataclass(slots=True)
class Tally:
    """What was read since the last take: spans of counts to be put into the window.

    Attributes:
        spans: signal, start, end (seconds since the epoch) and messages.
        finished: service, instance name, start, end, messages finished and seconds busy per worker of every report.
        reports: by instance name, its newest report and when the broker had it.
        first_progress: by instance name, when its first report with a finished message was appended.
        pairs: announcements of the seed's nodes, by source and target topic.
        accepted: messages understood, by shape.
        rejected: messages refused.
        samples: the latest of those refused.
    """

    spans: list[tuple[Signal, float, float, float]] = field(default_factory=list)
    finished: list[tuple[str, str, float, float, float, float]] = field(default_factory=list)
    reports: dict[str, tuple[float, Report]] = field(default_factory=dict)
    first_progress: dict[str, float] = field(default_factory=dict)
    pairs: dict[tuple[str, str], Pair] = field(default_factory=dict)
    accepted: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=20))

    def add(self, raw: bytes | None, at: float, partition: int = 0, offset: int = 0) -> None:
        """Take in one message that the broker had at ``at`` (seconds since the epoch)."""
        try:
            message = parse(raw)
        except Rejected as refusal:
            self.rejected += 1
            self.samples.append(Sample(partition, offset, at, str(refusal), repr((raw or b"")[:80])))
            return
        self.enter(message, at)

    def enter(self, message: Message, at: float) -> None:
        """Take in a message that is understood already."""
        self.accepted[type(message).__name__.lower()] += 1
        if isinstance(message, Report):
            start = at - message.interval_s
            self.spans.append((Signal(REPORTED, message.service), start, at, message.consumed))
            busy_s = message.busy_s / message.workers
            self.finished.append((message.service, message.instance, start, at, message.consumed, busy_s))
            known = self.reports.get(message.instance)
            if known is None or at >= known[0]:
                self.reports[message.instance] = (at, message)
            if message.consumed:
                self.first_progress.setdefault(message.instance, at)
        elif isinstance(message, Throughput):
            # The seed says how many since its last message, not since when: they are counted where they arrive.
            self.spans.append((Signal(SENT, message.target_topic), at - 1.0, at, message.total_messages))
        else:
            self.pairs[message.source_topic, message.target_topic] = message
