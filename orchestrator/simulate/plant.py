"""The queueing model: partitions that fill, instances that empty them, a group that rebalances.

Fluid, in steps of one second. An instance finishes at most its device's true rate, spread over the partitions that it
owns by what waits there; a partition that has just changed hands stands still for a while; backlog stays in the
partition that it arrived in, also when the topic grows. The broker's view (offsets, members, reports) is derived from
this state and is all that a policy sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np

from orchestrator.core.instance import Instance
from orchestrator.simulate.assignment import assign
from orchestrator.simulate.scenario import Scenario
from orchestrator.simulate.traffic import Floats


@dataclass(slots=True)
class Running:
    """One instance.

    Attributes:
        rate: messages/s that it manages.
        joined_at: when it is or was a member, seconds from the beginning.
        leaves_at: when it leaves; None for not yet.
        finished: messages ever finished.
        busy_s: seconds of the last second in which it worked.
        dead: its device is gone; it stays a member until its session ends.
    """

    rate: float
    joined_at: float
    leaves_at: float | None = None
    finished: float = 0.0
    busy_s: float = 0.0
    dead: bool = False


class Plant:
    """The simulated world; ``second`` is the next one to pass."""

    def __init__(self, scenario: Scenario) -> None:
        """Set up the beginning of ``scenario``."""
        self.scenario = scenario
        self.second = 0
        self.running: dict[Instance, Running] = {}
        self.owners: dict[int, Instance] = {}
        self.grown = 0
        self._started = 0
        count = scenario.partitions
        self.ends: Floats = np.full(count, scenario.lag / count)
        self.finished: Floats = np.zeros(count)
        self.committed: Floats = np.zeros(count)
        self.arrived: list[Floats] = []
        self.served: list[Floats] = []
        self._paused = [0.0] * count
        self._random = Random(scenario.seed)  # noqa: S311 - delays, not secrets
        for instance in self._first():
            self.running[instance] = Running(scenario.rates[instance.device], 0.0)
        self.owners = assign(count, list(self.running), {})

    @property
    def partitions(self) -> int:
        """Of the source topic."""
        return len(self.ends)

    @property
    def lags(self) -> Floats:
        """Messages that wait, by partition."""
        return self.ends - self.finished

    def members(self) -> list[Instance]:
        """Instances that the group lists, dead ones too until their session ends."""
        return [i for i, r in self.running.items() if r.joined_at <= self.second]

    def start(self, instance: Instance) -> float:
        """Start an instance; returns when it will be a member, seconds from the beginning."""
        at = self.second + self.scenario.delays.startup(self._started, self._random)
        self._started += 1
        if self.scenario.alive(instance.device, at):
            self.running[instance] = Running(self.scenario.rates[instance.device], at)
        return at

    def stop(self, instance: Instance) -> float:
        """Drain an instance; returns when it will have left."""
        at = self.second + self.scenario.delays.drain_s
        self.running[instance].leaves_at = at
        return at

    def grow(self, total: int) -> None:
        """Give the source topic ``total`` partitions; its members notice a moment later."""
        more = total - self.partitions
        if more <= 0:
            return
        self.grown += more
        self.ends, self.finished, self.committed = (
            np.concatenate([values, np.zeros(more)]) for values in (self.ends, self.finished, self.committed)
        )
        self._paused += [0.0] * more
        self._rebalance(self.second + self.scenario.delays.metadata_s)

    def step(self) -> None:
        """Let a second pass."""
        now = self.second
        self._change_members(now)
        arriving = self.scenario.traffic.at(now, self.partitions)
        self.ends = self.ends + arriving
        before = self.finished
        self.finished = before + self._serve(now)
        served = self.finished - before
        self.committed = self.finished - served * self.scenario.delays.commit_s
        self.arrived.append(arriving)
        self.served.append(served)
        self.second = now + 1

    def _first(self) -> list[Instance]:
        given = self.scenario.instances
        if isinstance(given, int):
            free = [(slot, d.name) for d in self.scenario.devices for slot in range(1, d.slots + 1)]
            first = sorted(free, key=lambda place: place[0])[:given]
            return [Instance(self.scenario.service.name, device, slot) for slot, device in first]
        return [instance for instance in map(Instance.parse, given) if instance is not None]

    def _change_members(self, now: int) -> None:
        delays, moments = self.scenario.delays, []
        for instance, running in list(self.running.items()):
            if not running.dead and not self.scenario.alive(instance.device, now):
                running.dead, running.leaves_at = True, now + delays.session_s
                if running.joined_at > now:  # it never became one
                    del self.running[instance]
                    continue
            if running.leaves_at is not None and running.leaves_at < now + 1:
                moments.append(running.leaves_at)
                del self.running[instance]
            elif now <= running.joined_at < now + 1 and running.joined_at > 0:
                moments.append(running.joined_at)
        if moments:
            self._rebalance(max(moments))

    def _rebalance(self, at: float) -> None:
        members = [i for i, r in self.running.items() if r.joined_at <= at]
        after = assign(self.partitions, members, self.owners)
        for partition, owner in after.items():
            if self.owners.get(partition) != owner:
                self._paused[partition] = max(self._paused[partition], at + self.scenario.delays.rebalance_s)
        self.owners = after

    def _serve(self, now: int) -> Floats:
        served = np.zeros(self.partitions)
        lags = self.lags
        mine: dict[Instance, list[int]] = {}
        for partition, owner in self.owners.items():
            mine.setdefault(owner, []).append(partition)
        for instance, running in self.running.items():
            running.busy_s = 0.0
            if running.dead or instance not in mine:
                continue
            # what part of the second is left for each partition after its pause
            open_ = {p: min(1.0, max(0.0, now + 1 - self._paused[p])) for p in mine[instance]}
            budget = running.rate * max(open_.values())
            waiting = sorted((float(lags[p]), p) for p in mine[instance] if open_[p] > 0)
            for place, (lag, partition) in enumerate(waiting):
                share = budget / (len(waiting) - place)
                taken = min(lag, share, running.rate * open_[partition])
                served[partition] = taken
                budget -= taken
                running.finished += taken
                running.busy_s += taken / running.rate
        return served
