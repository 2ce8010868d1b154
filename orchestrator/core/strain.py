"""Is the present fleet too small? By what comes, and by a backlog that does not go."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.traffic import Traffic

#: Share of the surplus that a backlog must at least be seen to go down by, or the capacity is not what it is taken for.
SEEN = 0.25
#: Mean of the persistence time over what it counts as, from which on a spike is spoken of.
UNUSUAL = 1.25


@dataclass(frozen=True, slots=True)
class Strain:
    """What is too much for the fleet.

    Attributes:
        over: the arrival is above the dead band, also when its noise is taken off.
        late: there is a backlog, it has lasted, and it will not be gone within the catch-up time.
        backlog: messages of that backlog, 0 when what waits is no backlog.
        gone_in_s: seconds until it is gone at the pace of the last seconds; None when it does not go down.
        spike: the arrival is above the dead band only in seconds that are unusual and have not lasted.
    """

    over: bool
    late: bool
    backlog: float
    gone_in_s: float | None
    spike: bool


def strain(traffic: Traffic, capacity: float | None, excused: float, rule: CapacitySettings) -> Strain:
    """Compare traffic and capacity.

    A backlog is late when the pace at which it goes down is too slow, and so is the surplus of the capacity: the pace
    of a few seconds is noisy, and the surplus alone would have acted upon what one spike has left behind. When the
    surplus says that all is well and a backlog of ``backlog_s`` seconds of work has not gone down for the steady time,
    the capacity is not believed.

    Args:
        traffic: with a known arrival and lag.
        capacity: messages/s that the fleet manages; None when unknown.
        excused: messages of the lag that more instances would not help with.
        rule: dead band and times.
    """
    arrival, lag, drain = traffic.arrival or 0.0, max(0.0, (traffic.lag_least or 0.0) - excused), traffic.lag_drain
    backlog = lag if lag > rule.backlog_s * arrival else 0.0
    gone_in_s = backlog / drain if drain is not None and drain > 0 else None
    slow = backlog > 0 and (gone_in_s is None or gone_in_s > rule.catch_up_s)
    if capacity is None:
        return Strain(False, slow, backlog, gone_in_s, False)
    surplus = capacity - arrival
    if slow and surplus > 0 and backlog <= surplus * rule.catch_up_s:
        least, pace = traffic.lag_least_steady, traffic.lag_drain_steady
        believed = least is None or pace is None
        slow = not believed and (least or 0.0) - excused > rule.backlog_s * capacity and (pace or 0.0) < SEEN * surplus
    low, raw = traffic.arrival_low or 0.0, traffic.arrival_raw or 0.0
    over = low / rule.utilisation_max > capacity
    spike = not over and raw / rule.utilisation_max > capacity and raw > UNUSUAL * arrival
    return Strain(over, slow, backlog, gone_in_s, spike)
