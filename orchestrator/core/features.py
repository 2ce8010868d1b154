"""What the windows say about a service at one instant: the only thing a policy sees of the traffic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from orchestrator.core.efforts import Work
from orchestrator.core.partition import Partition
from orchestrator.core.signals import ARRIVAL, COMMITTED, REPORTED, SENT
from orchestrator.core.traffic import Traffic
from orchestrator.core.window import Signal, Window


@dataclass(frozen=True, slots=True)
class Level:
    """One signal over the last two refresh intervals, against the time before them.

    Attributes:
        rate: mean over the last interval, messages/s; None when less than half of its seconds are known.
        median: median second of the last interval, messages/s.
        previous_median: median second of the interval before it.
        mean: mean of the baseline (the window before these two intervals).
        deviation: population standard deviation of the baseline, messages/s.
        baseline_s: known seconds in the baseline.
    """

    rate: float | None
    median: float | None
    previous_median: float | None
    mean: float | None
    deviation: float | None
    baseline_s: int


@dataclass(frozen=True, slots=True)
class Features:
    """The signals of one service at one instant.

    Attributes:
        service: whose.
        at: the second up to which the signals were read (exclusive).
        refresh_s: length of an interval.
        arrival: what came into the source topic.
        output: what was finished.
        output_from: where ``output`` was read: ``reports``, ``throughput`` (the seed's messages) or
            ``offsets`` (commits of the group).
        lag: messages not yet committed by the group; None when unknown.
        partitions: of the source topic; None when unknown.
        traffic: robust figures, for the policy ``capacity``; None for others.
        work: what each instance that reports has done lately, by its name.
        offsets: the source topic's partitions; empty when unknown.
        stuck: places of records that reports name as stuck, as ``topic[partition]@offset``.
    """

    service: str
    at: int
    refresh_s: int
    arrival: Level
    output: Level
    output_from: str
    lag: int | None = None
    partitions: int | None = None
    traffic: Traffic | None = None
    work: Mapping[str, Work] = field(default_factory=dict)
    offsets: tuple[Partition, ...] = ()
    stuck: tuple[str, ...] = ()


def levels(frame: pd.DataFrame, refresh_s: int) -> pd.DataFrame:
    """Compute every column's :class:`Level` at once.

    Args:
        frame: seconds by signals in messages/s, NaN unknown, oldest first.
        refresh_s: seconds of an interval; the frame should hold at least three.

    Returns:
        A frame with a row per field of :class:`Level` and a column per signal.
    """
    last = frame.iloc[-refresh_s:]
    rolling = last.rolling(refresh_s, min_periods=max(1, math.ceil(refresh_s / 2)))
    previous = frame.iloc[-2 * refresh_s : -refresh_s]
    baseline = frame.iloc[: -2 * refresh_s]
    return pd.DataFrame(
        {
            "rate": rolling.mean().iloc[-1],
            "median": last.median(),
            "previous_median": previous.median(),
            "mean": baseline.mean(),
            "deviation": baseline.std(ddof=0),
            "baseline_s": baseline.count(),
        }
    ).T


def read(
    window: Window,
    until: int,
    refresh_s: int,
    sources: Mapping[str, tuple[str, str | None]],
    lag: Mapping[str, int | None],
    partitions: Mapping[str, int | None],
) -> dict[str, Features]:
    """Read the features of many services with the same refresh interval.

    Args:
        window: the counters.
        until: the second up to which they are complete (exclusive).
        refresh_s: seconds of an interval.
        sources: per service its source topic and, where it has one, its target topic.
        lag: per service the group's lag in messages, None unknown.
        partitions: per service the source topic's partition count, None unknown.
    """
    found = levels(_silence_of_the_seed(window.frame(until)), refresh_s)
    # out of the frame once: looking up a column of it a thousand times costs more than all of the above
    figures: npt.NDArray[np.float64] = found.to_numpy(dtype=float)
    signals: list[Any] = list(found.columns)
    table: dict[Signal, npt.NDArray[np.float64]] = dict(zip(signals, figures.T, strict=True))
    return {
        service: _features(table, service, until, refresh_s, topics, lag.get(service), partitions.get(service))
        for service, topics in sources.items()
    }


def _silence_of_the_seed(frame: pd.DataFrame) -> pd.DataFrame:
    # The seed's nodes speak only when they have sent something: after the first word, silence is zero.
    seeds = [column for column in frame.columns if isinstance(column, Signal) and column.kind == SENT]
    if seeds:
        frame[seeds] = frame[seeds].mask(frame[seeds].isna() & frame[seeds].ffill().notna(), 0.0)
    return frame


def _features(
    table: Mapping[Signal, npt.NDArray[np.float64]],
    service: str,
    until: int,
    refresh_s: int,
    topics: tuple[str, str | None],
    lag: int | None,
    partitions: int | None,
) -> Features:
    source, target = topics
    # Our reports count what was finished, also where nothing is emitted; the seed's count what was sent on;
    # commits need nobody's cooperation but come in bursts. The first that speaks is believed.
    candidates = [("reports", Signal(REPORTED, service))]
    if target is not None:
        candidates.append(("throughput", Signal(SENT, target)))
    candidates.append(("offsets", Signal(COMMITTED, service)))
    read_ = [(origin, _level(table, signal)) for origin, signal in candidates]
    output_from, output = next(((origin, level) for origin, level in read_ if level.rate is not None), read_[-1])
    return Features(
        service=service,
        at=until,
        refresh_s=refresh_s,
        arrival=_level(table, Signal(ARRIVAL, source)),
        output=output,
        output_from=output_from,
        lag=lag,
        partitions=partitions,
    )


def _level(table: Mapping[Signal, npt.NDArray[np.float64]], signal: Signal) -> Level:
    if signal not in table:
        return Level(None, None, None, None, None, 0)
    rate, median, previous, mean, deviation, baseline_s = table[signal]
    return Level(
        rate=_known(rate),
        median=_known(median),
        previous_median=_known(previous),
        mean=_known(mean),
        deviation=_known(deviation),
        baseline_s=int(np.nan_to_num(baseline_s)),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
