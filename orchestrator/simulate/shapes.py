"""Shapes of traffic to try a policy on, and traffic read from a file of (time, rate)."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from orchestrator.errors import SimulationInvalid
from orchestrator.simulate.scenario import Failure
from orchestrator.simulate.traffic import Floats, Spread, Traffic

#: Messages/s of the quiet state; one instance of the fleet of :mod:`orchestrator.simulate.fleet` manages 100.
BASE = 60.0
#: Seconds of quiet before anything happens: more than a window of the master's.
QUIET_S = 600


def _flat(seconds: int, rate: float = BASE) -> Floats:
    return np.full(seconds, rate)


def _noisy(rates: Floats, share: float, seed: int = 7) -> Floats:
    """Rates with a normal deviation of ``share`` of each, never below zero; the same each time."""
    noise = np.random.default_rng(seed).normal(0.0, share, len(rates))
    return np.maximum(0.0, rates * (1 + noise))


def step() -> Traffic:
    """Up to eight times the load at once, and back after half an hour."""
    rates = np.concatenate([_flat(QUIET_S), _flat(1800, 8 * BASE), _flat(1800)])
    return Traffic(_noisy(rates, 0.05), changes=(QUIET_S, QUIET_S + 1800))


def growing() -> Traffic:
    """The step, on a topic that has one partition: see :data:`PARTITIONS`."""
    return step()


def ramp() -> Traffic:
    """Up to eight times the load within half an hour, and down again as slowly."""
    up = np.linspace(BASE, 8 * BASE, 1800)
    rates = np.concatenate([_flat(QUIET_S), up, _flat(600, 8 * BASE), up[::-1], _flat(QUIET_S)])
    return Traffic(_noisy(rates, 0.05))


def spikes() -> Traffic:
    """Lone seconds of 2, 3, 4, 5, 6, 8 and 10 times the load, ten minutes apart: nothing is to be done."""
    rates = _noisy(_flat(QUIET_S * 8), 0.05)
    for place, factor in enumerate((2, 3, 4, 5, 6, 8, 10), 1):
        rates[place * QUIET_S] = factor * BASE
    return Traffic(rates)


def sine() -> Traffic:
    """A day between the load and eight times the load."""
    angle = np.arange(86_400) / 86_400 * 2 * math.pi
    return Traffic(_noisy(BASE * (4.5 - 3.5 * np.cos(angle)), 0.05))


def plateau() -> Traffic:
    """An hour of a constant mean with a standard deviation of 25 %."""
    return Traffic(_noisy(_flat(3600, 4 * BASE), 0.25))


def bursts() -> Traffic:
    """Three times the load for two minutes, every ten minutes."""
    rates = _flat(QUIET_S * 7)
    begins = tuple(range(QUIET_S, len(rates), QUIET_S))
    for begin in begins:
        rates[begin : begin + 120] = 3 * BASE
    return Traffic(_noisy(rates, 0.05), changes=tuple(sorted((*begins, *(b + 120 for b in begins)))))


def hot() -> Traffic:
    """Five times the load, half of it in one partition, which one instance has to manage alone."""
    rates = np.concatenate([_flat(QUIET_S), _flat(2400, 5 * BASE)])
    # no size is right: none manages it, so there is no change after which one is to be reached
    return Traffic(_noisy(rates, 0.05), spread="hot")


def keyed() -> Traffic:
    """Five times the load, on partitions as uneven as keys are."""
    rates = np.concatenate([_flat(QUIET_S), _flat(2400, 5 * BASE)])
    return Traffic(_noisy(rates, 0.05), spread="keyed", changes=(QUIET_S,))


def failing() -> Traffic:
    """A constant load that three instances manage; the first device is lost, see :data:`FAILURES`."""
    return Traffic(_noisy(_flat(2400, 3 * BASE), 0.05))


#: Shapes by name; the name is what the command takes.
SHAPES: Mapping[str, Callable[[], Traffic]] = {
    "step": step,
    "growing": growing,
    "ramp": ramp,
    "spikes": spikes,
    "sine": sine,
    "plateau": plateau,
    "bursts": bursts,
    "hot": hot,
    "keyed": keyed,
    "failing": failing,
}
#: Partitions at the beginning, where a shape is about them.
PARTITIONS: Mapping[str, int] = {"growing": 1}
#: Devices that fail in a shape, by its name.
FAILURES: Mapping[str, tuple[Failure, ...]] = {"failing": (Failure("pi-1", QUIET_S * 2),)}
#: Lines of a file that make a line of rates.
LEAST_POINTS = 2
#: Seconds that a file of rates may span.
LONGEST_S = 14 * 86_400


def from_csv(path: Path, spread: Spread = "even") -> Traffic:
    """Read rates over time: two columns, seconds and messages/s; a header is allowed.

    Between two lines the rate goes straight from one to the other; the first line is the beginning.

    Raises:
        SimulationInvalid: the file cannot be read or is not of that form; it names the line.
    """
    points: list[tuple[float, float]] = []
    try:
        with path.open(newline="") as file:
            for number, row in enumerate(csv.reader(file), 1):
                if row and any(cell.strip() for cell in row):
                    point = _point(path, number, row, first=not points)
                    if point is None:
                        continue
                    if points and point[0] <= points[-1][0]:
                        raise SimulationInvalid(f"{path}:{number}: the time does not increase; sort the file by time")
                    points.append(point)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SimulationInvalid(f"{path} cannot be read as CSV: {error}") from error
    if len(points) < LEAST_POINTS:
        raise SimulationInvalid(
            f"{path} has {len(points)} lines with numbers; at least {LEAST_POINTS} of time,rate are needed"
        )
    times, rates = (np.array(column) for column in zip(*points, strict=True))
    span = times[-1] - times[0]
    if span > LONGEST_S:
        raise SimulationInvalid(f"{path} spans {span:.0f} s; at most {LONGEST_S} are simulated: cut it, or use seconds")
    return Traffic(np.interp(np.arange(int(span) + 1), times - times[0], rates), spread=spread)


def _point(path: Path, number: int, row: list[str], *, first: bool) -> tuple[float, float] | None:
    try:
        time, rate = (float(cell) for cell in row[:2])
    except ValueError:
        if first and number == 1:
            return None
        raise SimulationInvalid(
            f"{path}:{number}: {','.join(row)!r} is not time,rate in seconds and messages/s"
        ) from None
    if not (math.isfinite(time) and math.isfinite(rate)) or rate < 0:
        raise SimulationInvalid(f"{path}:{number}: time and rate must be finite, and the rate not below 0")
    return time, rate
