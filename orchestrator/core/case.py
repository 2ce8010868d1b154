"""One service whose traffic is known: too small, too large, or right? The questions of the policy ``capacity``."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from orchestrator.core import stabilise
from orchestrator.core.answer import Answer
from orchestrator.core.blocks import blocked, cooldown, limit
from orchestrator.core.culprit import Culprit, crowded, find
from orchestrator.core.decision import Decision
from orchestrator.core.features import Features
from orchestrator.core.fleet import ServiceFleet
from orchestrator.core.memory import Memory, Trial
from orchestrator.core.need import Need, need, startup
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.rates import Rates
from orchestrator.core.service import Service
from orchestrator.core.sizing import Ladder, Plan, by_class, owned
from orchestrator.core.strain import Strain, strain
from orchestrator.core.traffic import Traffic

#: Beats without a decision from which on the time between them counts as unknown.
BEATS_MISSED = 4


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of a service at one instant; each method is a question about it."""

    service: Service
    features: Features
    traffic: Traffic
    fleet: ServiceFleet
    rule: CapacitySettings
    rates: Rates
    ladder: Ladder
    now: float
    answer: Answer

    def decide(self, memory: Memory) -> tuple[Decision, Memory]:
        """Decide, with a capacity that is known."""
        rule, ladder, arrival = self.rule, self.ladder, self.traffic.arrival or 0.0
        present = ladder.plan(ladder.current)
        culprits = self._culprits(present.capacity)
        excused = sum(culprit.lag for culprit in culprits)
        found = strain(self.traffic, present.capacity, excused, rule)
        lag = max(0.0, (self.traffic.lag_least or 0.0) - excused)
        steady = max(arrival, self.traffic.arrival_steady or 0.0)
        newest = self.traffic.arrival_newest or arrival
        wanted = need(max(steady, newest) if found.late else newest, lag, startup(memory.startups, rule), rule)
        calm = ladder.smallest(need(steady, lag, 0.0, rule).standing, self.service.min_instances)
        memory = self._recommend(memory, calm.instances)
        self._tell(present, wanted, found, memory)
        if found.over or found.late:
            return self._grow(memory, present, wanted, found)
        if culprits:
            return self.answer(culprits[0].kind, self._words(culprits)), memory
        if found.backlog:
            return self._drain(found), memory
        if calm.instances < ladder.current:
            return self._shrink(memory, calm, need(steady, lag, 0.0, rule).standing), memory
        if found.spike:
            raw = self.traffic.arrival_raw or 0.0
            words = f"{raw:.0f}/s came in the last {rule.persistence_s} s, but only in seconds that are unusual and "
            return self.answer("spike", f"{words}have not lasted: it counts as {arrival:.0f}/s"), memory
        if steady == 0:
            return self.answer("idle", f"no input on {self.service.source_topic} in the last {rule.steady_s} s"), memory
        return self.answer("keeping-up", self._load(present)), memory

    def decide_blindly(self, memory: Memory) -> tuple[Decision, Memory]:
        """Decide while no capacity is known: a fleet that falls behind grows by a factor."""
        rule, current, traffic = self.rule, self.ladder.current, self.traffic
        culprits = self._culprits(None)
        found = strain(traffic, None, sum(culprit.lag for culprit in culprits), rule)
        idle = not traffic.arrival and not traffic.arrival_steady and not traffic.lag_least
        memory = self._recommend(memory, self.service.min_instances if idle else current)
        unknown = "what one instance manages is not known yet"
        if found.late:
            words = f"{found.backlog:.0f} messages wait and do not get fewer; {unknown}"
            stop = blocked(self.answer, self.service, self.ladder, memory, rule, self.now, words)
            if stop is not None:
                return stop, memory
            wanted = max(current + 1, math.ceil(current * rule.growth))
            desired = min(wanted, self.ladder.most)
            cap = limit(self.service, self.ladder, desired) if desired < wanted else None
            reason = f"{words}: from {current} to {desired}, {rule.growth:g} times as many at most"
            memory = self._begin(memory, desired, math.inf)
            return self.answer("scale-out", reason, desired=desired, cap=cap), memory
        if culprits:
            return self.answer(culprits[0].kind, self._words(culprits)), memory
        if found.backlog:
            return self._drain(found), memory
        if idle and current > self.service.min_instances:
            return self._shrink(memory, self.ladder.plan(self.service.min_instances), 0.0), memory
        if idle:
            return self.answer("idle", f"no input on {self.service.source_topic} in the last {rule.steady_s} s"), memory
        words = f"{unknown}: it is learned while instances are busy or lag, and there is no backlog"
        return self.answer("keeping-up", words), memory

    def _culprits(self, capacity: float | None) -> tuple[Culprit, ...]:
        found = find(self.service.source_topic, self.features, self.fleet, self.rule, self.now)
        if not found or strain(self.traffic, capacity, 0.0, self.rule).late:
            return found
        # a backlog in one partition that goes down in time is none's fault
        return tuple(culprit for culprit in found if culprit.kind == "stuck-record")

    def _words(self, culprits: tuple[Culprit, ...]) -> str:
        return "; ".join(culprit.words for culprit in culprits) + ": more instances would not help"

    def _recommend(self, memory: Memory, wanted: int) -> Memory:
        gap_s = max(BEATS_MISSED * self.rule.refresh_s, self.rule.persistence_s)
        return stabilise.recommend(memory, wanted, self.now, self.rule.stabilise_s, gap_s)

    def _load(self, plan: Plan) -> str:
        arrival = self.traffic.arrival or 0.0
        if plan.capacity == 0:
            return f"{arrival:.0f}/s come in, and nobody runs"
        share = arrival / plan.capacity
        return f"{arrival:.0f}/s are {share:.0%} of the {plan.capacity:.0f}/s that {plan.instances} instances manage"

    def _grow(self, memory: Memory, present: Plan, wanted: Need, found: Strain) -> tuple[Decision, Memory]:
        rule, ladder, current = self.rule, self.ladder, self.ladder.current
        words = self._load(present)
        if found.late:
            words += f", and {found.backlog:.0f} messages will not be worked off within {rule.catch_up_s:g} s"
        stop = blocked(self.answer, self.service, ladder, memory, rule, self.now, words)
        if stop is not None:
            return stop, memory
        plan = ladder.smallest(wanted.total, current + 1)
        crowd = crowded(self.features, self.fleet, rule) if found.late else None
        if crowd is not None:
            words += f"; {crowd}"
            each = min(ladder.most, self.features.partitions or 0)
            plan = ladder.plan(each) if not found.over or each > plan.instances else plan
        if plan.instances <= current or (crowd is None and plan.capacity <= present.capacity):
            slowest = min((self.rates.of(name) or 0.0) for name in plan.devices)
            words += (
                f"; {plan.instances} would manage no more: partitions are dealt out evenly, and the slowest would do "
                f"{slowest:.0f}/s on {plan.partitions} partitions"
            )
            return self.answer("at-maximum", words, cap="no device that would help"), memory
        cap = None if plan.suffices else limit(self.service, ladder, plan.instances)
        needed = (
            f"{wanted.total:.0f}/s are needed ({wanted.for_arrival:.0f} for the arrival at "
            f"{rule.utilisation:.0%}, {wanted.for_lag:.0f} for the backlog, {wanted.for_startup:.0f} for the start-up)"
        )
        self.answer.tell(planned_capacity_per_s=plan.capacity, classes=by_class(plan.devices[current:], self.rates))
        self._tell_partitions(plan)
        memory = self._begin(memory, plan.instances, plan.capacity)
        reason = f"{words}; {needed}: {plan.instances} instances manage {plan.capacity:.0f}/s{self._split(plan)}"
        return self.answer("scale-out", reason, desired=plan.instances, cap=cap), memory

    def _split(self, plan: Plan) -> str:
        shares, before = owned(plan.instances, plan.partitions), self.features.partitions
        if shares is None:
            return ""
        each = f"{shares[0]}" if shares[0] == shares[1] else f"{shares[1]} to {shares[0]}"
        grown = f", grown from {before}" if plan.partitions != before else ""
        return f" with {each} of {plan.partitions} partitions each{grown}"

    def _begin(self, memory: Memory, desired: int, capacity: float) -> Memory:
        """Remember what is expected of a scale-out; without a known output there is nothing to judge it by."""
        traffic, lag = self.traffic, self.traffic.lag_least or 0.0
        arrival = max(traffic.arrival or 0.0, traffic.arrival_steady or 0.0)
        output = traffic.output_now or 0.0
        if math.isinf(capacity):  # nothing is known but that so many times as many should finish so many times as much
            capacity = output * desired / max(1, self.ladder.current)
        expected = min(arrival + lag / self.rule.catch_up_s, capacity)
        known = tuple(sorted(str(instance) for instance in self.fleet.working))
        trial = Trial(
            self.now, self.ladder.current, desired, output, expected, arrival, self.features.partitions, known
        )
        return replace(memory, trial=trial)

    def _drain(self, found: Strain) -> Decision:
        left = "" if found.gone_in_s is None else f" in {found.gone_in_s:.0f} s at the present pace"
        return self.answer("draining", f"{found.backlog:.0f} messages wait and will be worked off{left}")

    def _shrink(self, memory: Memory, calm: Plan, needed: float) -> Decision:
        rule, current = self.rule, self.ladder.current
        words = f"{calm.instances} of {current} instances would do for {needed:.0f}/s"
        waiting = self.features.lag or 0
        if waiting > rule.backlog_s * (self.traffic.arrival or 0.0):
            return self.answer("draining", f"{words}, but {waiting} messages wait")
        at = stabilise.settled_at(memory, rule.stabilise_s)
        if at is None or self.now < at:
            left = f"{(at or self.now) - self.now:.0f} s"
            return self.answer("stabilising", f"{words}, but the traffic has to be known for {left} more")
        most = stabilise.highest(memory) or 0
        plan = self.ladder.smallest(needed, max(most, calm.instances)) if needed else calm
        desired = max(plan.instances, most, self.service.min_instances)
        if desired >= current:
            highest = f"the highest recommendation of the last {rule.stabilise_s:g} s is {desired}"
            return self.answer("stabilising", f"{words}, but {highest}")
        falls_at = stabilise.falls_at(memory, rule.stabilise_s)
        if falls_at is not None and falls_at - self.now < rule.steady_s:
            # the end of a steep fall: one step a little later instead of two
            return self.answer("stabilising", f"{words}, and {desired} are left in {falls_at - self.now:.0f} s or less")
        wait = cooldown(memory, rule.down_delay_s, self.now, stops=True)
        if wait is not None:
            return self.answer("cooldown", f"{words}, but {wait}")
        return self.answer("scale-in", f"{words}, and none more were needed in {rule.stabilise_s:g} s", desired=desired)

    def _tell(self, present: Plan, wanted: Need, found: Strain, memory: Memory) -> None:
        rule = self.rule
        self.answer.tell(
            capacity_per_s=present.capacity,
            utilisation=(self.traffic.arrival or 0.0) / present.capacity if present.capacity else None,
            instance_per_s=self.ladder.slowest,
            capacity_samples=sum(estimate.count for estimate in memory.capacities.values()),
            needed_per_s=wanted.total,
            needed_for_arrival_per_s=wanted.for_arrival,
            needed_for_lag_per_s=wanted.for_lag,
            needed_for_startup_per_s=wanted.for_startup,
            startup_s=startup(memory.startups, rule),
            startups_measured=len(memory.startups),
            backlog=found.backlog,
            backlog_gone_in_s=found.gone_in_s,
            recommended=memory.wanted[-1][1],
            recommended_highest=stabilise.highest(memory),
            stable_at=stabilise.settled_at(memory, rule.stabilise_s),
        )

    def _tell_partitions(self, plan: Plan) -> None:
        shares = owned(plan.instances, plan.partitions)
        self.answer.tell(
            partitions_planned=plan.partitions,
            partitions_owned_most=None if shares is None else shares[0],
            partitions_owned_least=None if shares is None else shares[1],
        )
