"""Carrying out in a simulation: a start or a drain that takes its time, where placement and healing say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from orchestrator.act.heal import Healed
from orchestrator.act.step import Step, StepName
from orchestrator.acting import Acting
from orchestrator.core.decision import Decision
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.health import Ailment
from orchestrator.core.instance import Instance
from orchestrator.core.treatment import treat
from orchestrator.devices import Devices
from orchestrator.service_state import ServiceState
from orchestrator.simulate.clock import SimulatedClock
from orchestrator.simulate.plant import Plant
from orchestrator.simulate.shells import EPOCH, SimulatedCluster
from orchestrator.watch import Watch


class SimulatedActing(Acting):
    """What the live loop's actions do to the plant: Ansible is replaced, what it is asked for is not."""

    def __init__(
        self, plant: Plant, clock: SimulatedClock, watch: Watch, devices: Devices, record: Callable[[Step], None]
    ) -> None:
        """Work on ``plant``."""
        super().__init__(
            settings=plant.scenario.settings,
            clock=clock,
            inventory=Path("simulated"),
            open_cluster=lambda: SimulatedCluster(plant),
            watch=watch,
            devices=devices,
            diagnose=self._diagnosis,
            record=record,
            stop=threading.Event(),
            may_act=lambda: True,
        )
        self._plant = plant
        self._time = clock
        self._underway: dict[Instance, tuple[float, float]] = {}

    def take_healed(self) -> None:
        """Take in what was healed, and what has been finished since the last tick."""
        super().take_healed()
        now = self._plant.second
        for instance, (asked_at, ready_at) in list(self._underway.items()):
            if ready_at <= now:
                del self._underway[instance]
                seconds = ready_at - asked_at
                self._tell("proved", instance, EPOCH + ready_at, {"after_s": seconds, "first-message": seconds})
        for state in self._watch.states.values():
            if state.action is not None and not state.action.is_alive():
                state.action, state.under_way = None, ()

    def scale_out(self, state: ServiceState, decision: Decision) -> None:
        """Start as many as the decision misses."""
        missing = (decision.desired or 0) - (decision.current or 0)
        self._begin(state, self.choose(state, missing, decision).chosen)

    def _begin(self, state: ServiceState, instances: Collection[Instance]) -> None:
        now = float(self._plant.second)
        ends = [now]
        for instance in instances:
            self._tell("placed", instance, EPOCH + now, {})
            ready = self._plant.start(instance)
            # a device that dies meanwhile is noticed when the proof's deadline passes
            alive = self._plant.scenario.alive(instance.device, ready)
            ready = ready + self._plant.scenario.delays.rebalance_s if alive else now + self._settings.proof_deadline
            if alive:
                self._underway[instance] = (now, ready)
            else:
                self._devices.failed(instance.device, "it died during the start")
            ends.append(ready)
        state.started.update(instances)
        state.under_way, state.progress = tuple(instances), "is being started"
        state.action = SimulatedAction(self._time, EPOCH + max(ends))

    def _drain(self, state: ServiceState, instances: Collection[Instance], why: str, at: float) -> None:
        state.care.expect_gone(instances)
        for instance in instances:
            self._tell("draining", instance, at, {}, why)
        ends = [self._plant.stop(instance) for instance in instances]
        state.under_way, state.progress = tuple(instances), "is being drained"
        state.action = SimulatedAction(self._time, EPOCH + max(ends))

    def _look_after(self, state: ServiceState, ailment: Ailment) -> None:
        instance, now = ailment.instance, self._time.now()
        found = self._diagnosis(instance)
        treatment = treat(ailment, found, state.care.vitals[instance], state.service.heal, now)
        by = None
        if treatment.action == "restart":
            self._begin(state, [instance])
        elif treatment.action in ("replace", "give-up"):
            chosen = self.choose(state, 1).chosen
            self._begin(state, chosen)
            by = next(iter(chosen), None)
        self._healed.put((state, Healed(instance, treatment.action, now, found.words, by)))

    def _diagnosis(self, instance: Instance) -> Diagnosis:
        if not self._plant.scenario.alive(instance.device, self._plant.second):
            return Diagnosis(reachable=False, reason=f"{instance.device} has failed")
        runs = instance in self._plant.running and not self._plant.running[instance].dead
        active, sub = ("active", "running") if runs else ("failed", "failed")
        return Diagnosis(reachable=True, active=active, sub=sub, enabled=True)

    def _tell(
        self, name: StepName, instance: Instance, at: float, numbers: Mapping[str, float], detail: str = ""
    ) -> None:
        self._record(Step(name, instance.service, at, detail, str(instance), numbers))


class SimulatedAction(threading.Thread):
    """An action under way until a moment of simulated time; it is never started as a thread."""

    def __init__(self, clock: SimulatedClock, ends_at: float) -> None:
        """End at ``ends_at``, seconds since the epoch."""
        super().__init__(name="simulated-action", daemon=True)
        self._clock, self._ends_at = clock, ends_at

    def is_alive(self) -> bool:
        """Whether the moment has not come yet."""
        return self._clock.now() < self._ends_at
