"""The rivals by the names that commands and tables use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.simulate.rivals.ds2 import Ds2
from orchestrator.simulate.rivals.flink import Flink
from orchestrator.simulate.rivals.keda import Keda
from orchestrator.simulate.rivals.known import Oracle, Peak
from orchestrator.simulate.rivals.seed import Seed
from orchestrator.simulate.rivals.seen import Rival
from orchestrator.simulate.scenario import Scenario

#: Seconds of one instance's work that ``keda-tuned`` lets wait per instance: a user who knows the rate sets it so.
TUNED_S = 5.0


def _tuned(scenario: Scenario) -> Rival:
    return Keda(TUNED_S * max(scenario.rates.values()))


RIVALS: Mapping[str, Callable[[Scenario], Rival]] = {
    "seed": lambda _: Seed(),
    "keda": lambda _: Keda(),
    "keda-tuned": _tuned,
    "flink": lambda _: Flink(),
    "ds2": lambda _: Ds2(),
    "static-peak": Peak,
    "oracle": Oracle,
}
