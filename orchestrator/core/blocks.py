"""What forbids to start more although more are missing: findings, cooldowns, limits."""

from __future__ import annotations

from orchestrator.core.answer import Answer
from orchestrator.core.decision import Decision
from orchestrator.core.memory import Memory
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.service import Service
from orchestrator.core.sizing import Ladder, growable


def blocked(
    answer: Answer, service: Service, ladder: Ladder, memory: Memory, rule: CapacitySettings, now: float, words: str
) -> Decision | None:
    """Why no instance is started now; None when nothing forbids it."""
    finding, current = memory.finding, ladder.current
    if finding is not None:
        until = finding.at + rule.hold_s
        answer.tell(held_until=until, blamed_device=finding.device)
        again = f"not repeated for {until - now:.0f} s, unless arrival, fleet or partitions change"
        return answer(finding.kind, f"{words}, but {finding.words}; {again}", cap=finding.kind)
    if current >= service.max_instances:
        cap = limit(service, ladder, current)
        return answer("at-maximum", f"{words}, but {current} instances run and {cap} is reached", cap=cap)
    partitions = ladder.partitions_most
    if partitions is not None and current >= partitions:
        cap = limit(service, ladder, current)
        if growable(service):
            return answer("at-maximum", f"{words}, but each partition has an owner and {cap} is reached", cap=cap)
        why = (
            f"all {partitions} partitions of {service.source_topic} have an owner and growing it would break ordering: "
            f"{service.ordering}; give the service more workers, or grow the topic by hand after a drain"
        )
        return answer("keyed", f"{words}, but {why}", cap=cap)
    if ladder.slots <= current:
        cap = limit(service, ladder, current)
        return answer("at-maximum", f"{words}, but no device has a free slot: {cap} are taken", cap=cap)
    wait = cooldown(memory, rule.up_delay_s, now)
    return None if wait is None else answer("cooldown", f"{words}, but {wait}")


def limit(service: Service, ladder: Ladder, instances: int) -> str:
    """The limit that keeps a fleet of this size from being larger."""
    if instances >= service.max_instances:
        return f"max_instances {service.max_instances}"
    partitions = ladder.partitions_most
    if partitions is not None and instances >= partitions:
        if growable(service):
            return f"max_partitions {partitions}"
        return f"{partitions} partitions, ordering {service.ordering}"
    if instances >= ladder.slots:
        return f"{ladder.slots} slots"
    return "devices that would not make it faster"


def cooldown(memory: Memory, delay_s: float, now: float, *, stops: bool = False) -> str | None:
    """How long is still to be waited after the last change, in words; None when nothing is.

    Args:
        memory: when what was changed.
        delay_s: the cooldown.
        now: seconds since the epoch.
        stops: whether a stop begins one, too.
    """
    trial = memory.trial
    changes = [
        (memory.last_start_at, "the last start"),
        (memory.last_seen_new_at, "the newest instance's first report"),
        (None if trial is None else trial.reached_at or trial.at, "the last scale-out"),
        (memory.last_stop_at if stops else None, "the last stop"),
    ]
    known = [(at, what) for at, what in changes if at is not None]
    if not known:
        return None
    at, what = max(known)
    if now >= at + delay_s:
        return None
    left = at + delay_s - now
    return f"{what} was {now - at:.0f} s ago and {delay_s:g} s must pass ({left:.0f} s left)"
