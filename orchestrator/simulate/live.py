"""The product's own loop on a simulated plant: :class:`orchestrator.master.Master`, its windows, policies, placement.

Only what touches the world is replaced: the broker and the devices by the plant, and Ansible by a start that takes its
time. What is decided, when, and what is remembered of it, is the live loop's code.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.policy_settings import CapacitySettings, RatioSettings
from orchestrator.devices import Devices
from orchestrator.inventory import Inventory
from orchestrator.inventory.kafka import KafkaSettings
from orchestrator.master import Master
from orchestrator.simulate.acting import SimulatedActing
from orchestrator.simulate.clock import SimulatedClock
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
        inventory = _inventory(scenario)
        devices = Devices(inventory, scenario.settings, clock, lambda names: probe(plant, names), {})
        super().__init__(
            inventory=inventory,
            settings=scenario.settings,
            clock=clock,
            open_cluster=lambda: SimulatedCluster(plant),
            observer=SimulatedObserver(plant),
            ledger=ledger,
            devices=devices,
            diagnose=lambda _instance: Diagnosis(reachable=False),
            may_act=lambda: True,
            leads=lambda: True,
        )
        self._acting = SimulatedActing(plant, clock, self.watch, devices, self._record)


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
    loggers = [logging.getLogger(f"orchestrator.{name}") for name in ("master", "watch", "sight", "devices", "acting")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, state in zip(loggers, before, strict=True):
            logger.disabled = state
