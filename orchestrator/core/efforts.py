"""What each instance has finished and how busy it was, second by second, for as long as a capacity takes to learn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from orchestrator.core.signals import BUSY, REPORTED
from orchestrator.core.window import Signal, Window

#: Instances beyond this many are not looked at: a hostile sender must not fill the memory.
MOST_INSTANCES = 20_000


@dataclass(frozen=True, slots=True)
class Work:
    """What one instance did over the persistence time, by its reports.

    Attributes:
        consumed_per_s: messages finished per second.
        busy: share of its workers' time that was spent in the user's code, 0 to 1.
        known_s: seconds that its reports cover.
    """

    consumed_per_s: float
    busy: float
    known_s: int


class Efforts:
    """Reports of the instances of known services, the last ``length_s`` seconds of them.

    Not thread-safe: the loop owns it. Times are seconds since the epoch by the broker's clock.
    """

    def __init__(self, services: Iterable[str], length_s: int) -> None:
        """Keep reports of these services only."""
        self._window = Window(length_s)
        self._count = 0
        self._columns: dict[str, dict[str, tuple[int, int]]] = {service: {} for service in services}

    def add_all(self, reports: Iterable[tuple[str, str, float, float, float, float]]) -> None:
        """Take in reports: service, instance, start, end, messages finished, seconds busy per worker."""
        columns: list[int] = []
        starts: list[float] = []
        ends: list[float] = []
        amounts: list[float] = []
        for service, instance, start, end, finished, busy_s in reports:
            known = self._columns.get(service)
            if known is None:
                continue
            pair = known.get(instance)
            if pair is None:
                if self._count >= MOST_INSTANCES:
                    continue
                self._count += 1
                pair = known[instance] = (
                    self._window.column(Signal(REPORTED, instance)),
                    self._window.column(Signal(BUSY, instance)),
                )
            columns += pair
            starts += (start, start)
            ends += (end, end)
            amounts += (finished, min(busy_s, end - start))
        self._window.spread_into(columns, starts, ends, amounts)

    def read(self, until: int, seconds: int, services: Iterable[str]) -> dict[str, dict[str, Work]]:
        """What the services' instances did in the ``seconds`` before ``until``; silent ones are absent."""
        wanted = [(service, name, pair) for service in services for name, pair in self._columns[service].items()]
        found: dict[str, dict[str, Work]] = {}
        if not wanted:
            return found
        consumed = self._window.values_at([pair[0] for _, _, pair in wanted], until, seconds)
        busy = self._window.values_at([pair[1] for _, _, pair in wanted], until, seconds)
        known = np.count_nonzero(~np.isnan(consumed), axis=1)
        counts = np.maximum(known, 1)
        rates, shares = np.nansum(consumed, axis=1) / counts, np.nansum(busy, axis=1) / counts
        figures = zip(wanted, rates.tolist(), shares.tolist(), known.tolist(), strict=True)
        for (service, name, _), rate, share, known_s in figures:
            if known_s:
                found.setdefault(service, {})[name] = Work(rate, share, known_s)
        return found
