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
        self._lock = threading.Lock()
        self._last: dict[str, dict[str, tuple[float, Report]]] = {service: {} for service in services}
        self._count = 0
        self._progress: dict[str, float] = {}

    def enter(self, tally: Tally) -> None:
        """Take in what the observer has read."""
        with self._lock:
            for name, entry in tally.reports.items():
                mine = self._last.get(entry[1].service)
                if mine is None or (name not in mine and self._count >= MOST_INSTANCES):
                    continue
                self._count += name not in mine
                mine[name] = entry
                if name in tally.first_progress:
                    self._progress.setdefault(name, tally.first_progress[name])

    def forget(self, instance: Instance) -> None:
        """Forget an instance that is about to be started, so that an earlier life of its name proves nothing."""
        with self._lock:
            self._drop(instance.service, str(instance))

    def forget_before(self, at: float) -> None:
        """Forget instances whose last report is older than ``at``."""
        with self._lock:
            old = [(of, name) for of, mine in self._last.items() for name, (last, _) in mine.items() if last < at]
            for service, name in old:
                self._drop(service, name)

    def _drop(self, service: str, name: str) -> None:
        self._count -= self._last.get(service, {}).pop(name, None) is not None
        self._progress.pop(name, None)

    def progressed_at(self, instance: Instance) -> float | None:
        """When the broker had the first report of an instance that had finished a message; None for never."""
        with self._lock:
            return self._progress.get(str(instance))

    def stuck(self, service: str, now: float) -> tuple[str, ...]:
        """Places that the instances of a service named as stuck in reports of the last seconds."""
        with self._lock:
            latest = [
                report for at, report in self._last.get(service, {}).values() if report.stuck and now - at < FRESH_S
            ]
        return tuple(sorted({place for report in latest for place in report.stuck}))

    def outdated(self, service: str, now: float) -> dict[str, str]:
        """The release that instances wait for by reports of the last seconds, by instance name, of one service."""
        with self._lock:
            return {
                name: report.waits_for
                for name, (at, report) in self._last.get(service, {}).items()
                if report.waits_for is not None and now - at < FRESH_S
            }

    def ages(self, service: str, now: float) -> dict[str, float]:
        """Seconds since the last report, by instance name, of one service."""
        with self._lock:
            return {name: now - at for name, (at, _) in self._last.get(service, {}).items()}

    def youngest(self, now: float) -> float:
        """Seconds since the last report of any instance; infinite when there is none."""
        with self._lock:
            return min((now - at for mine in self._last.values() for at, _ in mine.values()), default=float("inf"))
