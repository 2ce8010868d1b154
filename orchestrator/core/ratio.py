"""Policy ``ratio``: the seed's rule. Start one more when output/input falls below a threshold.

Every refresh interval the seed (FogVerse's ``InputOutputRatioWorker``, ``AutoDeployer`` and
``TopicSpikeChecker``) compares what was sent to the target topic with what was sent to the source topic. Below
the threshold it starts one instance, unless a cooldown runs, the maximum is reached, or the z-score of input or
output says that the traffic is a spike. Faithful to that, with its weaknesses mended:

- *Zero deviation*: perfectly even traffic made the seed divide by zero and never deploy. Here a deviation is at
  least :data:`LEAST_DEVIATION` of the mean.
- *A lasting step*: the seed's z-score compares an interval with a window that contains it, so its largest
  possible value is ``sqrt((1 - p) / p)`` for an interval that is the share ``p`` of the window: with the seed's
  own defaults (60 s of 300 s, threshold 3) no spike can ever be seen, and with shorter intervals a lasting step
  is held as long as it is rare in the window. Here an interval is compared with the time *before* it, and traffic
  that is unusual passes as soon as it has lasted: when the median seconds of the last two intervals are both above
  the spike bound. A spike shorter than an interval can never satisfy that.
- *Zero input*: the seed took it for a dead machine and ended its worker. Here it is idleness, and a decision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from orchestrator.core.decision import Decision, Kind
from orchestrator.core.features import Features, Level
from orchestrator.core.fleet import ServiceFleet
from orchestrator.core.memory import Memory
from orchestrator.core.service import Service

#: Share of the mean that a deviation is at least taken to be: steady traffic that changes by less is no news.
LEAST_DEVIATION = 0.05


@dataclass(frozen=True, slots=True)
class RatioRule:
    """The settings of the rule for one service, the master's and the service's own put together.

    Attributes:
        threshold: output/input below which an instance is missing.
        z_value: standard deviations from which traffic is a spike.
        refresh_s: seconds of an interval.
        deploy_delay_s: seconds after a start in which no other is made.
        heartbeat_delay_s: seconds after a new instance was first seen in which none is started.
    """

    threshold: float
    z_value: float
    refresh_s: int
    deploy_delay_s: float
    heartbeat_delay_s: float


def z_score(level: Level) -> float | None:
    """How many standard deviations the last interval is above its baseline; None when either is unknown.

    Source: the seed's ``TopicSpikeChecker.check_spike_by_z_value``, z = (x - mean) / deviation.
    """
    if level.rate is None or level.mean is None or level.deviation is None:
        return None
    difference = level.rate - level.mean
    deviation = max(level.deviation, LEAST_DEVIATION * level.mean)
    if deviation == 0:
        return 0.0 if difference <= 0 else math.inf
    return difference / deviation


def has_lasted(level: Level, z_value: float) -> bool:
    """Whether unusual traffic has filled most of the last two intervals."""
    if level.median is None or level.previous_median is None or level.mean is None or level.deviation is None:
        return False
    bound = level.mean + z_value * max(level.deviation, LEAST_DEVIATION * level.mean)
    return level.median > 0 and level.median >= bound and level.previous_median >= bound


def decide(
    service: Service, features: Features, fleet: ServiceFleet, memory: Memory, rule: RatioRule, now: float
) -> Decision:
    """Decide for one service; pure, and a reason for every outcome."""
    numbers: dict[str, Any] = {
        "input_per_s": _rounded(features.arrival.rate),
        "output_per_s": _rounded(features.output.rate),
        "output_from": features.output_from,
        "ratio": None,
        "threshold": rule.threshold,
        "z_input": None,
        "z_output": None,
        "z_value": rule.z_value,
        "refresh_s": rule.refresh_s,
        "lag": features.lag,
        "partitions": features.partitions,
    }
    current = fleet.count

    def outcome(kind: Kind, reason: str, *, desired: int | None = current, cap: str | None = None) -> Decision:
        return Decision(service.name, now, current, desired, kind, reason, numbers, cap)

    if memory.busy is not None:
        return outcome("busy", f"waiting: {memory.busy}")
    if current is None:
        return outcome("unknown", "neither reports nor the consumer group could be read; nothing is changed")
    if current < service.min_instances:
        missing = f"{current} of at least {service.min_instances} instances run"
        return outcome("below-minimum", missing, desired=service.min_instances)
    arrival, output = features.arrival.rate, features.output.rate
    if arrival is None or output is None:
        what = "input" if arrival is None else "output"
        return outcome("unknown", f"{what} of the last {rule.refresh_s} s is not known well enough; nothing is changed")
    if arrival == 0:
        return outcome("idle", f"no input on {service.source_topic} in the last {rule.refresh_s} s")

    ratio = output / arrival
    numbers["ratio"] = _rounded(ratio, 3)
    flow = f"{output:.0f}/s out of {arrival:.0f}/s in = {ratio:.2f}"
    if ratio >= rule.threshold:
        return outcome("keeping-up", f"{flow}, not below {rule.threshold}")
    shortage = f"{flow}, below {rule.threshold}"

    spike = _spike(features, rule, numbers)
    if spike is not None:
        kind, why = spike
        return outcome(kind, f"{shortage}, but {why}")
    wait = _cooldown(memory, rule, now)
    if wait is not None:
        return outcome("cooldown", f"{shortage}, but {wait}")
    if current >= service.max_instances:
        cap = f"max_instances {service.max_instances}"
        return outcome("at-maximum", f"{shortage}, but {current} instances run and {cap} is reached", cap=cap)
    if service.ordering != "none" and features.partitions is not None and current >= features.partitions:
        cap = f"{features.partitions} partitions, ordering {service.ordering}"
        return outcome(
            "keyed",
            f"{shortage}, but all {features.partitions} partitions of {service.source_topic} have an owner and "
            f"growing it would break ordering: {service.ordering}; give the service more workers, or grow the topic "
            "by hand after a drain",
            cap=cap,
        )
    return outcome("scale-out", f"{shortage}; one more than {current}", desired=current + 1)


def _spike(features: Features, rule: RatioRule, numbers: dict[str, Any]) -> tuple[Kind, str] | None:
    for name, level in (("input", features.arrival), ("output", features.output)):
        z = z_score(level)
        numbers[f"z_{name}"] = _rounded(z)
        if z is None or level.baseline_s < rule.refresh_s:
            return "unknown", (
                f"only {level.baseline_s} s of {name} before it are known; {rule.refresh_s} s are needed to tell a "
                "spike from a lasting rise"
            )
        if z >= rule.z_value and not has_lasted(level, rule.z_value):
            far = (
                f"{z:.1f} deviations above its usual {level.mean:.0f}/s"
                if math.isfinite(z)
                else "new: there was none before"
            )
            return "spike", (
                f"{name} is {far} (z_value {rule.z_value:g}) and has not lasted for two intervals of "
                f"{rule.refresh_s} s: a spike so far"
            )
    return None


def _cooldown(memory: Memory, rule: RatioRule, now: float) -> str | None:
    waits = [
        (memory.last_start_at, rule.deploy_delay_s, "the last start"),
        (memory.last_seen_new_at, rule.heartbeat_delay_s, "the newest instance's first report"),
    ]
    running = [
        (since + delay - now, f"{what} was {now - since:.0f} s ago and {delay:g} s must pass")
        for since, delay, what in waits
        if since is not None and now < since + delay
    ]
    if not running:
        return None
    left, words = max(running)
    return f"{words} ({left:.0f} s left)"


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)
