"""What the loop remembers of a service's instances for healing: who should work, who ails, who stands in for whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.act.heal import Healed
from orchestrator.core.health import RECHECK_S, Ailment, Sight, Vital, follow
from orchestrator.core.instance import Instance
from orchestrator.core.requirements import HealSettings

#: How often instances that all work are looked at one by one: a thousand services must not be, every second.
FOLLOW_S = 5.0


@dataclass(slots=True)
class Care:
    """One service's instances; only the loop's thread changes it.

    Attributes:
        expected: instances that should work: seen working, and not stopped by us or on purpose.
        leaving: instances that are being stopped by us, until they are gone.
        stand_ins: by instance whose device went away, the one that runs in its place.
        ailments: who ails, the oldest first.
        missing: who is missing and may still come back, in words; empty when nobody is.
        vitals: what is remembered of each expected instance.
        outdated: who waits for the wanted release, and for which.
        next_at: when a look at instances that all work is due, seconds since the epoch.
    """

    expected: set[Instance] = field(default_factory=set)
    leaving: set[Instance] = field(default_factory=set)
    stand_ins: dict[Instance, Instance] = field(default_factory=dict)
    ailments: tuple[Ailment, ...] = ()
    missing: str = ""
    vitals: Mapping[Instance, Vital] = field(default_factory=dict)
    outdated: Mapping[Instance, str] = field(default_factory=dict)
    next_at: float = 0.0
    _followed_at: float | None = None
    _home_since: dict[Instance, float] = field(default_factory=dict)

    def notice(self, before: Collection[Instance], now: Collection[Instance]) -> None:
        """Take in who worked in the last tick and who does now."""
        self.expected |= set(now) - set(before) - self.leaving
        self.leaving &= set(now) | set(before)

    def due(self, working: Collection[Instance], now: float) -> bool:
        """Whether to follow now: always while anything is not as it should be, else now and then."""
        return bool(now >= self.next_at or self.ailments or self.missing or self.stand_ins or self.expected != working)

    def follow(self, sight: Sight, heal: HealSettings) -> None:
        """Bring vitals and ailments up to date with what a tick has seen."""
        gap = 0.0 if self._followed_at is None else sight.at - self._followed_at
        self._followed_at, self.next_at = sight.at, sight.at + FOLLOW_S
        self.vitals, self.ailments = follow(self.vitals, self.expected, replace(sight, gap_s=gap), heal)
        working = sight.fleet.working
        # a decision must not start another in its place meanwhile; but it does not wait for ever
        most = heal.replace_after_s + heal.notice_s + 2 * RECHECK_S
        missing = [i for i, vital in self.vitals.items() if i not in working and sight.at - vital.well_at < most]
        self.missing = f"{', '.join(map(str, missing))}: missing, and being looked after" if missing else ""
        self._home_since = {home: self._home_since.get(home, sight.at) for home in self.stand_ins if home in working}

    def back_home(self, now: float, heal: HealSettings) -> Instance | None:
        """An instance that has been back for a while although another one runs in its place."""
        since = {home: at for home, at in self._home_since.items() if home in self.stand_ins}
        ready = [home for home, at in since.items() if now - at >= heal.notice_s]
        return min(ready, default=None)

    def expect_gone(self, instances: Collection[Instance]) -> None:
        """These are being stopped by us."""
        self.expected -= set(instances)
        self.leaving |= set(instances)

    def take(self, healed: Healed) -> None:
        """Take in what was done about an instance."""
        instance, vital = healed.instance, self.vitals.get(healed.instance)
        if healed.action == "wait":
            changes: dict[str, Any] = {"looked_at": healed.at, "said": healed.said}
        elif healed.action in ("restart", "upgrade"):
            restarts = (*(vital.restarts if vital else ()), healed.at)[-1000:]
            changes = {"looked_at": healed.at, "said": "", "restarts": restarts}
            changes |= {"well_at": healed.at, "moved_at": healed.at}  # its time begins anew
        else:
            self.expected.discard(instance)
            if healed.action == "replace" and healed.by is not None:
                self.stand_ins[instance] = healed.by
            return
        if vital is not None:
            self.vitals = {**self.vitals, instance: replace(vital, **changes)}
