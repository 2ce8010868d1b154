"""What happened in a simulation, second by second, and the decisions that were made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.simulate.plant import Plant
from orchestrator.simulate.scenario import Scenario
from orchestrator.simulate.traffic import Floats

#: Messages that may be left over from adding fractions up.
ROUNDING = 0.5


@dataclass(frozen=True, slots=True)
class Event:
    """A decision that changes the number of instances.

    Attributes:
        at: seconds from the beginning.
        current: instances then.
        desired: instances wanted.
        kind: the decision's kind, or the rival's name.
        reason: why, in words.
    """

    at: float
    current: int
    desired: int
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Trace:
    """One run, a value per second in each array.

    Attributes:
        scenario: what was simulated.
        policy: what decided.
        arrival: messages that came in.
        capacity: messages/s that the living members manage together.
        lag: messages that wait at the second's end.
        uncommitted: the same as the broker shows it: those that are not committed.
        members: living members of the group.
        held: instances that use a device: starting, running or draining.
        partitions: of the source topic.
        delay_s: age of the oldest message that waits, over all partitions.
        events: decisions to change something.
        kinds: how many decisions of each kind were made in all.
        grown: partitions added.
    """

    scenario: Scenario
    policy: str
    arrival: Floats
    capacity: Floats
    lag: Floats
    uncommitted: Floats
    members: Floats
    held: Floats
    partitions: Floats
    delay_s: Floats
    events: tuple[Event, ...]
    kinds: dict[str, int]
    grown: int


class Recorder:
    """Notes the plant's state after each second."""

    def __init__(self, plant: Plant) -> None:
        """Watch ``plant``."""
        self._plant = plant
        self._rows: list[tuple[float, ...]] = []

    def note(self) -> None:
        """Note the second that has just passed."""
        plant, now = self._plant, self._plant.second
        living = [r for r in plant.running.values() if not r.dead and r.joined_at <= now]
        held = sum(not r.dead for r in plant.running.values())
        arrived = float(plant.arrived[-1].sum())
        capacity = sum(r.rate for r in living)
        open_ = float((plant.ends - plant.committed).sum())
        lag = float(plant.lags.sum())
        self._rows.append((arrived, capacity, lag, open_, len(living), held, plant.partitions))

    def trace(self, policy: str, events: tuple[Event, ...], kinds: dict[str, int]) -> Trace:
        """Everything noted."""
        rows = np.array(self._rows, dtype=float).reshape(-1, 7).T
        return Trace(
            scenario=self._plant.scenario,
            policy=policy,
            arrival=rows[0],
            capacity=rows[1],
            lag=rows[2],
            uncommitted=rows[3],
            members=rows[4],
            held=rows[5],
            partitions=rows[6],
            delay_s=delays(self._plant.arrived, self._plant.served, self._plant.scenario.lag),
            events=events,
            kinds=kinds,
            grown=self._plant.grown,
        )


def delays(arrived: list[Floats], served: list[Floats], lag: float) -> Floats:
    """Age in seconds of the oldest message that waits at each second's end; 0 where none does.

    First in, first out in each partition; messages that waited at the beginning arrived then.
    """
    seconds, count = len(arrived), max((len(row) for row in arrived), default=0)
    worst = np.zeros(seconds)
    for partition in range(count):
        came = np.array([row[partition] if partition < len(row) else 0.0 for row in arrived])
        went = np.array([row[partition] if partition < len(row) else 0.0 for row in served])
        came[:1] += lag / len(arrived[0]) if seconds and partition < len(arrived[0]) else 0.0
        total_in, total_out = np.cumsum(came), np.cumsum(went)
        # the oldest that waits came in the first second by whose end more had come in than has gone out by now
        oldest = np.searchsorted(total_in, total_out + 1e-6, side="right")
        waits = total_in - total_out > ROUNDING
        ages = np.arange(seconds) + 1 - oldest
        worst = np.maximum(worst, np.where(waits, ages, 0))
    return worst.astype(float)
