"""Topics grow for members that came by themselves; what is refused is told once."""

from __future__ import annotations

from typing import cast

from orchestrator.act.step import Step
from orchestrator.broker.cluster import Cluster
from orchestrator.clock import SystemClock
from orchestrator.core.growth import Growth
from orchestrator.core.service import Service
from orchestrator.errors import BrokerUnreachable
from orchestrator.growing import Growing
from orchestrator.service_state import ServiceState, rule_for
from orchestrator.settings import Settings

SERVICE = Service(name="slow", source_topic="in", group_id="g", artifact="a", entrypoint="m:f", hosts="fog")
WANTED = Growth("in", 1, 2, "2 members")
KEYED = Growth("keyed", 1, 2, "2 members", refused="ordered by key")


class Broker:
    """Grows whatever it is told to, or is away."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away

    def grow(self, _topic: str, total: int) -> int:
        if self.away:
            raise BrokerUnreachable("gone")
        return total


def growing(broker: Broker) -> tuple[Growing, ServiceState, list[Step]]:
    told: list[Step] = []
    state = ServiceState(SERVICE, rule_for(SERVICE, Settings()))
    return Growing(cast("Cluster", broker), SystemClock(), told.append), state, told


def test_a_refusal_is_told_once_until_it_was_lifted() -> None:
    """Lost otherwise: a ledger with the same line each second, or no word on why instances are idle."""
    grows, state, told = growing(Broker())
    for growths in ((KEYED,), (KEYED,), None, (), (KEYED,)):
        grows.grow(state, growths)
    assert [step.name for step in told] == ["growth-refused", "growth-refused"]


def test_a_broker_that_is_away_is_asked_again_at_the_next_tick() -> None:
    """Lost otherwise: an instance without a partition, for a broker that was away for a second."""
    broker = Broker(away=True)
    grows, state, told = growing(broker)
    grows.grow(state, (WANTED,))
    assert told == []
    broker.away = False
    grows.grow(state, (WANTED,))
    assert [step.detail for step in told] == ["in: 1 -> 2: 2 members"]
