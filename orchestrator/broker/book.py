"""The newest report of every instance: written by the loop, read by the threads that carry decisions out."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from orchestrator.core.instance import Instance
from orchestrator.core.report import Report
from orchestrator.core.tally import Tally

#: Instances beyond this many are not remembered: a hostile sender must not fill the memory.
MOST_INSTANCES = 20_000
#: Age up to which a report says what is so now: they come once a second.
FRESH_S = 5.0


class ReportBook:
    """Who reported when, and who has made progress; safe for several threads."""

    def __init__(self, services: Iterable[str]) -> None:
        """Remember instances of these services only."""
        self._services = frozenset(services)
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, Report]] = {}
        self._progress: dict[str, float] = {}

    def enter(self, tally: Tally) -> None:
        """Take in what the observer has read."""
        with self._lock:
            for name, entry in tally.reports.items():
                if entry[1].service in self._services and (name in self._last or len(self._last) < MOST_INSTANCES):
                    self._last[name] = entry
            for name, at in tally.first_progress.items():
                if name in self._last:
                    self._progress.setdefault(name, at)

    def forget(self, instance: Instance) -> None:
        """Forget an instance that is about to be started, so that an earlier life of its name proves nothing."""
        with self._lock:
            self._last.pop(str(instance), None)
            self._progress.pop(str(instance), None)

    def forget_before(self, at: float) -> None:
        """Forget instances whose last report is older than ``at``."""
        with self._lock:
            for name in [name for name, (last, _) in self._last.items() if last < at]:
                del self._last[name]
                self._progress.pop(name, None)

    def progressed_at(self, instance: Instance) -> float | None:
        """When the broker had the first report of an instance that had finished a message; None for never."""
        with self._lock:
            return self._progress.get(str(instance))

    def stuck(self, service: str, now: float) -> tuple[str, ...]:
        """Places that the instances of a service named as stuck in reports of the last seconds."""
        with self._lock:
            latest = [report for at, report in self._last.values() if report.stuck and now - at < FRESH_S]
        return tuple(sorted({place for report in latest if report.service == service for place in report.stuck}))

    def ages(self, service: str, now: float) -> dict[str, float]:
        """Seconds since the last report, by instance name, of one service."""
        with self._lock:
            return {name: now - at for name, (at, report) in self._last.items() if report.service == service}
