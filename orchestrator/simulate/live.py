"""The product's own loop on a simulated plant: :class:`orchestrator.master.Master`, its windows, policies, placement.

Only what touches the world is replaced: the broker and the devices by the plant, and Ansible by a start that takes its
time. What is decided, when, and what is remembered of it, is the live loop's code.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orchestrator.act.step import Step, StepName
from orchestrator.core.decision import Decision
from orchestrator.core.instance import Instance
from orchestrator.core.policy_settings import CapacitySettings, RatioSettings
from orchestrator.inventory import Inventory
from orchestrator.inventory.kafka import KafkaSettings
from orchestrator.master import Master
from orchestrator.service_state import ServiceState
from orchestrator.simulate.clock import SimulatedClock
from orchestrator.simulate.hands import Hands
from orchestrator.simulate.plant import Plant
from orchestrator.simulate.scenario import Scenario
from orchestrator.simulate.shells import EPOCH, SimulatedCluster, SimulatedLedger, SimulatedObserver, probe
from orchestrator.simulate.trace import Event

#: The product's policies.
OURS = ("capacity", "ratio")


class Live:
    """A master that believes it is live."""

    def __init__(self, policy: str, plant: Plant) -> None:
        """Put the product in charge of ``plant``, with the service's settings of ``policy`` or else its defaults."""
        self.events: list[Event] = []
        self.kinds: Counter[str] = Counter()
        self._plant = plant
        self._clock = SimulatedClock(float(EPOCH + plant.second))
        self._ledger = SimulatedLedger()
        self.master = SimulatedMaster(_with_policy(plant.scenario, policy), plant, self._clock, self._ledger)
        self._every = max(1, round(plant.scenario.settings.sleep_time))
        with _silent():
            self.master.watch.start()
        for state in self.master.watch.states.values():
            state.next_at = EPOCH + plant.scenario.first_decision_s

    def tick(self) -> None:
        """One tick of the live loop; at its own pace."""
        if self._plant.second % self._every:
            return
        self._clock.at = float(EPOCH + self._plant.second)
        with _silent():
            self.master.tick()
        for entry in self._ledger.entries:
            if entry.kind == "decision":
                self.kinds[str(entry.body["kind"])] += 1
                if entry.body["direction"] != "none":
                    body = entry.body
                    at = entry.body["at"] - EPOCH
                    self.events.append(Event(at, body["current"], body["desired"], body["kind"], body["reason"]))
        self._ledger.entries.clear()


class SimulatedMaster(Master):
    """The live loop with hands that reach into the plant."""

    def __init__(self, scenario: Scenario, plant: Plant, clock: SimulatedClock, ledger: SimulatedLedger) -> None:
        """Take the plant and its time."""
        super().__init__(
            inventory=_inventory(scenario),
            settings=scenario.settings,
            clock=clock,
            open_cluster=lambda: SimulatedCluster(plant),
            observer=SimulatedObserver(plant),
            ledger=ledger,
            probe_devices=lambda names: probe(plant, names),
        )
        self._plant = plant
        self._time = clock
        self._hands = Hands(plant)
        self._unwanted: list[Decision] = []
        self._underway: dict[Instance, tuple[float, float]] = {}

    def tick(self) -> None:
        """See what has been finished, then do what the live loop does."""
        now = self._plant.second
        for instance, (asked_at, ready_at) in list(self._underway.items()):
            if ready_at <= now:
                del self._underway[instance]
                seconds = ready_at - asked_at
                self._tell("proved", instance, EPOCH + ready_at, {"after_s": seconds, "first-message": seconds})
        super().tick()
        unwanted, self._unwanted = self._unwanted, []
        for decision in unwanted:
            self._act(self.watch.states[decision.service], decision)

    def _announce(self, decision: Decision) -> None:
        super()._announce(decision)
        if decision.direction == "down":
            self._unwanted.append(decision)

    def _act(self, state: ServiceState, decision: Decision) -> None:
        wanted, current = decision.desired or 0, decision.current or 0
        ends = self._start(state, wanted - current) if wanted > current else self._stop(state, current - wanted)
        state.action = _Action(self._time, EPOCH + max(ends, default=float(self._plant.second)))

    def _start(self, state: ServiceState, count: int) -> list[float]:
        held: list[Instance] = []
        ends = []
        for _ in range(count):
            placement = self.watch.place(state, list(self._marks.values()), held)
            if not placement.candidates:
                break
            instance = placement.candidates[0]
            held.append(instance)
            now = float(self._plant.second)
            self._tell("placed", instance, EPOCH + now, {}, placement.explanation)
            ready = self._plant.start(instance)
            # a device that dies meanwhile is noticed when the proof's deadline passes
            alive = self._plant.scenario.alive(instance.device, ready)
            ready = ready + self._plant.scenario.delays.rebalance_s if alive else now + self._settings.proof_deadline
            if alive:
                self._underway[instance] = (now, ready)
                state.started.add(instance)
            ends.append(ready)
        return ends

    def _stop(self, state: ServiceState, count: int) -> list[float]:
        state.remember(last_stop_at=self._time.now())
        return [self._plant.stop(instance) for instance in self._hands.weakest()[:count]]

    def _tell(
        self, name: StepName, instance: Instance, at: float, numbers: Mapping[str, float], detail: str = ""
    ) -> None:
        self._record(Step(name, instance.service, at, detail, str(instance), numbers))


class _Action(threading.Thread):
    """An action under way until a moment of simulated time; it is never started as a thread."""

    def __init__(self, clock: SimulatedClock, ends_at: float) -> None:
        super().__init__(name="simulated-action", daemon=True)
        self._clock, self._ends_at = clock, ends_at

    def is_alive(self) -> bool:
        """Whether the moment has not come yet."""
        return self._clock.now() < self._ends_at


def _inventory(scenario: Scenario) -> Inventory:
    return Inventory(
        path=Path("simulated"),
        services=(scenario.service,),
        devices=scenario.devices,
        hosts={scenario.service.name: tuple(device.name for device in scenario.devices)},
        connections={},
        kafka=KafkaSettings(bootstrap_servers=("simulated:9092",)),
        settings={},
    )


def _with_policy(scenario: Scenario, policy: str) -> Scenario:
    if scenario.service.policy.name == policy:
        return scenario
    settings = CapacitySettings() if policy == "capacity" else RatioSettings()
    return replace(scenario, service=scenario.service.model_copy(update={"policy": settings}))


@contextmanager
def _silent() -> Iterator[None]:
    """The live loop's log says what happens live; a simulation is told by its trace."""
    loggers = [logging.getLogger(f"orchestrator.{name}") for name in ("master", "watch", "sight")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, state in zip(loggers, before, strict=True):
            logger.disabled = state
