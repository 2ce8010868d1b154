"""Runs a scenario with a policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from orchestrator.errors import SimulationInvalid
from orchestrator.simulate.controller import Controller, RivalController
from orchestrator.simulate.live import OURS, Live
from orchestrator.simulate.plant import Plant
from orchestrator.simulate.rivals.known import peak
from orchestrator.simulate.rivals.table import RIVALS
from orchestrator.simulate.scenario import Scenario
from orchestrator.simulate.trace import Recorder, Trace

#: Every name that ``--policy`` takes: the product's policies, then others'.
POLICIES: tuple[str, ...] = (*OURS, *RIVALS)


def simulate(scenario: Scenario, policy: str, on_second: Callable[[int], None] | None = None) -> Trace:
    """Simulate ``scenario`` with ``policy``.

    Args:
        scenario: what to simulate; where one of the product's policies decides, with the service's settings for it.
        policy: one of :data:`POLICIES`.
        on_second: is told each second that has passed.

    Raises:
        SimulationInvalid: there is no such policy.
    """
    if policy == "static-peak":  # it has always been like that
        count = peak(scenario)
        scenario = replace(scenario, instances=count, partitions=max(count, scenario.partitions))
    plant = Plant(scenario)
    recorder, controller = Recorder(plant), _controller(policy, plant)
    for second in range(scenario.seconds):
        plant.step()
        controller.tick()
        recorder.note()
        if on_second is not None:
            on_second(second)
    return recorder.trace(policy, tuple(controller.events), dict(controller.kinds))


def _controller(policy: str, plant: Plant) -> Controller:
    if policy in OURS:
        return Live(policy, plant)
    if policy not in RIVALS:
        raise SimulationInvalid(f"there is no policy {policy!r}; there are: {', '.join(POLICIES)}")
    return RivalController(policy, RIVALS[policy](plant.scenario), plant)
