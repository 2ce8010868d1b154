"""Everything a simulation is given: traffic, devices, and how long things take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from orchestrator.core.device import Device
from orchestrator.core.service import Service
from orchestrator.settings import Settings
from orchestrator.simulate.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Delays:
    """How long things take, in seconds.

    Attributes:
        startup_s: median time from a decision until the new instance is a member of its group.
        startup_spread: standard deviation of its logarithm; 0 makes each start alike.
        rebalance_s: how long a partition stands still when it changes hands.
        drain_s: time from the decision until a drained instance has left its group.
        session_s: time until the group notices that a member is dead.
        commit_s: mean age of the newest commit.
        metadata_s: time until members notice that their topic has grown.
        startups: start-up times of the first starts, in order, where they are known; only later ones are drawn.
    """

    startup_s: float = 15.0
    startup_spread: float = 0.2
    rebalance_s: float = 3.0
    drain_s: float = 4.0
    session_s: float = 10.0
    commit_s: float = 0.5
    metadata_s: float = 1.0
    startups: tuple[float, ...] = ()

    def startup(self, number: int, random: Random) -> float:
        """Duration of the ``number``-th start, from 0; log-normal: most are near the median, some take much longer."""
        if number < len(self.startups):
            return self.startups[number]
        return self.startup_s * math.exp(random.gauss(0.0, self.startup_spread))


@dataclass(frozen=True, slots=True)
class Failure:
    """A device that is gone from one second to another.

    Attributes:
        device: its name.
        at: the first second in which it is gone.
        until: the first second in which it is back, with nothing running; None for never.
    """

    device: str
    at: int
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing to be simulated.

    Attributes:
        name: for tables and pictures.
        service: what is scaled, with its limits and its policy.
        devices: where it may run.
        rates: messages/s that one instance manages, by device.
        traffic: what arrives.
        settings: the master's.
        delays: how long things take.
        failures: devices that fail.
        partitions: of the source topic at the beginning.
        instances: that run at the beginning, on the first devices; or their names.
        lag: messages at the beginning, evenly over the partitions.
        first_decision_s: when the first decision is made, seconds from the beginning.
        seed: of everything that is left to chance.
    """

    name: str
    service: Service
    devices: tuple[Device, ...]
    rates: Mapping[str, float]
    traffic: Traffic
    settings: Settings = field(default_factory=Settings)
    delays: Delays = field(default_factory=Delays)
    failures: tuple[Failure, ...] = ()
    partitions: int = 1
    instances: int | tuple[str, ...] = 1
    lag: float = 0.0
    first_decision_s: float = 0.0
    seed: int = 1

    @property
    def seconds(self) -> int:
        """How long it lasts."""
        return len(self.traffic.rates)

    def alive(self, device: str, second: float) -> bool:
        """Whether a device is there."""
        return not any(
            f.device == device and f.at <= second and (f.until is None or second < f.until) for f in self.failures
        )
