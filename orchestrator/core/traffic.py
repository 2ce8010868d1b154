"""Robust figures of a service's traffic: what one spike does not move and a lasting step moves at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from orchestrator.core.estimate import MAD_TO_SIGMA, MEDIAN_ERROR
from orchestrator.core.signals import ARRIVAL, COMMITTED, LAG, REPORTED, SENT
from orchestrator.core.window import Signal, Window

#: Quantile of the window's seconds above which a second is unusual, and cut down to it.
USUAL = 0.9
#: Known seconds from which that quantile leaves out a spike that fell into two of them.
LEAST_KNOWN = 20

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """What a policy looks at: persistence time and steady time in seconds, and how many standard errors are noise."""

    persistence_s: int
    steady_s: int
    noise_z: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Arrival, output and lag of one service; None where less than half of the seconds needed are known.

    Attributes:
        arrival: messages/s now: the median second of the persistence time (the lower one of two), or the mean of its
            seconds where each is cut down to what was usual in the window, whichever is more.
        arrival_low: what it is at least: the same, or the median of the steady time, less ``noise_z`` standard errors.
        arrival_newest: the same, but at least the median second of the newer half of the persistence time: the level
            after a step that the other figure has just noticed.
        arrival_raw: mean over the persistence time, spikes included.
        arrival_steady: the same over the steady time.
        noise: standard deviation from second to second, from the median of absolute differences.
        output: messages/s finished, mean over the steady time.
        output_now: the same over the persistence time.
        lag_least: least lag in the persistence time, messages: what has lasted.
        lag_drain: messages/s by which the lag shrank over the persistence time; below zero it grew.
        lag_least_steady: the least lag in the steady time.
        lag_drain_steady: the same over the steady time.
        output_from: where the output was read: ``reports``, ``throughput`` or ``offsets``.
    """

    arrival: float | None
    arrival_low: float | None
    arrival_newest: float | None
    arrival_raw: float | None
    arrival_steady: float | None
    noise: float | None
    output: float | None
    output_now: float | None
    lag_least: float | None
    lag_drain: float | None
    lag_least_steady: float | None
    lag_drain_steady: float | None
    output_from: str


def read(window: Window, until: int, span: Span, sources: Sequence[tuple[str, str, str | None]]) -> list[Traffic]:
    """Read the traffic of many services in a few array operations.

    Args:
        window: the counters.
        until: the second up to which they are complete (exclusive).
        span: the times to look at.
        sources: per service its name, source topic and target topic.
    """
    if not sources:
        return []
    arrived = window.values([Signal(ARRIVAL, source) for _, source, _ in sources], until, window.length_s)
    waiting = window.values([Signal(LAG, name) for name, _, _ in sources], until, span.steady_s)
    output, output_now, origin = _outputs(window, until, span, sources)
    figures = (
        *_arrivals(arrived, span),
        output,
        output_now,
        *_lags(waiting[:, -span.persistence_s :]),
        *_lags(waiting),
    )
    rows = zip(*(column.tolist() for column in figures), strict=True)
    return [_traffic(row, ORIGINS[int(number)]) for row, number in zip(rows, origin.tolist(), strict=True)]


#: Where output may be read, the one that is believed first at the front.
ORIGINS = ("reports", "throughput", "offsets")


def _arrivals(seconds: Array, span: Span) -> tuple[Array, ...]:
    recent, steady = seconds[:, -span.persistence_s :], seconds[:, -span.steady_s :]
    middle, known = _median(recent, lower=True)
    newest, _ = _median(recent[:, span.persistence_s // 2 :])
    ordered = np.sort(seconds, axis=1)  # NaN comes last
    count = np.count_nonzero(~np.isnan(seconds), axis=1)
    usual = ordered[np.arange(len(ordered)), np.maximum(0, (USUAL * (count - 1)).astype(int))]
    bound = np.where(count >= LEAST_KNOWN, np.fmax(usual, middle), middle)
    arrival = np.fmax(middle, _mean(np.minimum(recent, bound[:, None])))
    # two seconds apart: what came in between two looks is spread over both, so neighbours are alike
    differences, _ = _median(np.abs(seconds[:, 2:] - seconds[:, :-2]))
    noise = MAD_TO_SIGMA / math.sqrt(2) * differences
    middle_steady, known_steady = _median(steady)
    error = span.noise_z * MEDIAN_ERROR * np.nan_to_num(noise)
    least = arrival - error / np.sqrt(np.maximum(known, 1))
    least_steady = middle_steady - error / np.sqrt(np.maximum(known_steady, 1))
    low = np.maximum(0.0, np.fmin(arrival, np.fmax(least, least_steady)))
    unknown = known < span.persistence_s / 2
    return tuple(
        np.where(unknown, np.nan, column)
        for column in (arrival, low, np.fmax(arrival, newest), _mean(recent), _mean(steady), noise)
    )


def _outputs(
    window: Window, until: int, span: Span, sources: Sequence[tuple[str, str, str | None]]
) -> tuple[Array, Array, Array]:
    signals = (
        [Signal(REPORTED, name) for name, _, _ in sources],
        [Signal(SENT, target or "") for _, _, target in sources],
        [Signal(COMMITTED, name) for name, _, _ in sources],
    )
    output, now, origin = (np.full(len(sources), np.nan) for _ in range(3))
    for number, wanted in reversed(list(enumerate(signals))):
        seconds = window.values(wanted, until, window.length_s if number == 1 else span.steady_s)
        if number == 1:  # the seed's nodes speak only when they have sent something: later silence is zero
            spoke = np.logical_or.accumulate(~np.isnan(seconds), axis=1)
            seconds = np.where(spoke & np.isnan(seconds), 0.0, seconds)
        recent = seconds[:, -span.persistence_s :]
        speaks = np.count_nonzero(~np.isnan(recent), axis=1) >= span.persistence_s / 2
        output = np.where(speaks, _mean(seconds[:, -span.steady_s :]), output)
        now = np.where(speaks, _mean(recent), now)
        origin = np.where(speaks, number, origin)
    return output, now, np.where(np.isnan(origin), len(signals) - 1, origin)


def _lags(seconds: Array) -> tuple[Array, Array]:
    half = seconds.shape[1] // 2
    earlier, later = _mean(seconds[:, :half]), _mean(seconds[:, half:])
    least = np.fmin.reduce(seconds, axis=1)
    unknown = np.count_nonzero(~np.isnan(seconds), axis=1) < seconds.shape[1] / 2
    return np.where(unknown, np.nan, least), np.where(unknown, np.nan, (earlier - later) / (seconds.shape[1] / 2))


def _median(seconds: Array, *, lower: bool = False) -> tuple[Array, npt.NDArray[np.intp]]:
    """Median of each row's known values, NaN for a row without one, and how many there are."""
    known = np.count_nonzero(~np.isnan(seconds), axis=1)
    ordered, rows = np.sort(seconds, axis=1), np.arange(len(seconds))
    low = np.maximum(0, (known - 1) // 2)
    high = low if lower else np.minimum(known // 2, seconds.shape[1] - 1)
    return (ordered[rows, low] + ordered[rows, high]) / 2, known


def _mean(seconds: Array) -> Array:
    """Mean of each row's known values, NaN for a row without one."""
    known = ~np.isnan(seconds)
    count = np.count_nonzero(known, axis=1)
    total = np.where(known, seconds, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _traffic(row: Iterable[float], output_from: str) -> Traffic:
    figures: list[float | None] = [None if value != value else value for value in row]  # noqa: PLR0124 - NaN
    arrival, low, newest, raw, steady, noise, output, now, least, drain, least_steady, drain_steady = figures
    return Traffic(
        arrival, low, newest, raw, steady, noise, output, now, least, drain, least_steady, drain_steady, output_from
    )
