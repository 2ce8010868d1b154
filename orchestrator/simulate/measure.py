"""How good a run was: the SPEC research group's elasticity measures, and what a user feels and pays.

Source of the elasticity measures: N. Herbst et al., "Ready for Rain? A View from SPEC Research on the Future of Cloud
Metrics", SPEC-RG-2016-01 (arXiv:1604.03470), section on elasticity. With demand d and supply s in instances over the
time T: accuracy = 100/T * sum(max(d - s, 0) / d) for under-provisioning (over: s - d), timeshare = 100/T * time in
which d > s (over: d < s), jitter = 100/(T - 1) * sum(|sgn(change of s)| - |sgn(change of d)|).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from orchestrator.simulate.demand import OBJECTIVE_S, demand
from orchestrator.simulate.trace import Trace
from orchestrator.simulate.traffic import Floats


@dataclass(frozen=True, slots=True)
class Measures:
    """One run in numbers.

    Attributes:
        accuracy_under: missing instances in percent of the demand, mean over time; 0 is best.
        accuracy_over: instances too many in percent of the demand, mean over time; 0 is best.
        timeshare_under: percent of the time in which instances were missing.
        timeshare_over: percent of the time in which there were too many.
        jitter: changes of the supply less changes of the demand, in percent of the seconds; above 0 restless, below 0
            inert.
        lag_area: messages times seconds waited, the area under the lag.
        lag_max: greatest lag in messages.
        late_s: seconds in which the oldest message was older than the latency objective.
        instance_s: instances times seconds, from the beginning of a start to the end of a drain.
        extra_instance_s: the same less the oracle's; None where it was not run.
        actions: decisions that changed the number of instances.
        partitions_added: to the source topic.
        first_size: decisions until a higher demand was met, the most after any change of load that asked for more; 0
            where none did, None where one was never met.
    """

    accuracy_under: float
    accuracy_over: float
    timeshare_under: float
    timeshare_over: float
    jitter: float
    lag_area: float
    lag_max: float
    late_s: float
    instance_s: float
    extra_instance_s: float | None
    actions: int
    partitions_added: int
    first_size: int | None

    def as_dict(self) -> dict[str, float | int | None]:
        """By name, rounded to what can be believed."""
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(self).items()}


def measure(trace: Trace, oracle: Trace | None = None, objective_s: int = OBJECTIVE_S) -> Measures:
    """Measure one run.

    Args:
        trace: the run.
        oracle: the run of a policy that knew the future, on the same scenario.
        objective_s: the age that no message should exceed.
    """
    wanted, supply = demand(trace.scenario), trace.members
    missing, spare = np.maximum(wanted - supply, 0), np.maximum(supply - wanted, 0)
    changes = np.abs(np.sign(np.diff(supply))) - np.abs(np.sign(np.diff(wanted)))
    spent = float(trace.held.sum())
    return Measures(
        accuracy_under=100 * float((missing / wanted).mean()),
        accuracy_over=100 * float((spare / wanted).mean()),
        timeshare_under=100 * float((missing > 0).mean()),
        timeshare_over=100 * float((spare > 0).mean()),
        jitter=100 * float(changes.sum()) / max(1, len(supply) - 1),
        lag_area=float(trace.lag.sum()),
        lag_max=float(trace.lag.max(initial=0.0)),
        late_s=float((trace.delay_s > objective_s).sum()),
        instance_s=spent,
        extra_instance_s=None if oracle is None else spent - float(oracle.held.sum()),
        actions=len(trace.events),
        partitions_added=trace.grown,
        first_size=_first_size(trace, wanted),
    )


def _first_size(trace: Trace, wanted: Floats) -> int | None:
    counts = []
    changes = trace.scenario.traffic.changes
    for begin, end in pairwise((*changes, trace.scenario.seconds)):
        target = wanted[min(begin + OBJECTIVE_S, end - 1)]
        ups = [e for e in trace.events if begin <= e.at < end and e.desired > e.current]
        if trace.members[max(0, begin - 1)] >= target:
            continue
        met = next((place for place, event in enumerate(ups, 1) if event.desired >= target), None)
        if met is None:
            return None
        counts.append(met)
    return max(counts, default=0)
