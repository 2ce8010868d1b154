"""Observing: what the shells read becomes windows, fleets and decisions. Nothing here changes anything."""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from kafka.errors import KafkaError

from orchestrator.act.step import Step, StepName
from orchestrator.announcements import Announcements
from orchestrator.broker.book import ReportBook
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.look import Look
from orchestrator.broker.observer import Observer
from orchestrator.care import FOLLOW_S
from orchestrator.clock import Clock
from orchestrator.core import growth, policy, reading
from orchestrator.core.decision import Decision
from orchestrator.core.efforts import Efforts
from orchestrator.core.fleet import observe
from orchestrator.core.growth import Growth
from orchestrator.core.health import SILENT_S, Sight
from orchestrator.core.instance import Instance
from orchestrator.core.override import overridden
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.service import Service
from orchestrator.core.window import Window
from orchestrator.devices import Devices, active
from orchestrator.errors import BrokerUnreachable
from orchestrator.inventory import Inventory
from orchestrator.service_state import ServiceState, rule_for, spread_beats
from orchestrator.settings import INTERVALS, Settings
from orchestrator.sight import count_history, count_offsets, count_reports

log = logging.getLogger(__name__)

#: Seconds until the reports about a second have all arrived: they are sent once a second.
SETTLE_S = 1
#: How long a start waits for the observer topic's history.
CATCH_UP_S = 30.0
#: Seconds more than the longest persistence time for which is kept what each instance did: reports may be late.
LATE_S = 10


class Watch:
    """Sees every service of the inventory: its traffic, its fleet, and what should be done about it."""

    def __init__(
        self,
        inventory: Inventory,
        settings: Settings,
        clock: Clock,
        cluster: Cluster,
        observer: Observer,
        devices: Devices,
        record: Callable[[Step], None],
    ) -> None:
        """Take the shells; nothing is contacted before :meth:`start`."""
        self.states = {s.name: ServiceState(s, rule_for(s, settings)) for s in inventory.services}
        self.services: tuple[Service, ...] = inventory.services
        self.book = ReportBook(self.states)
        self.look: Look | None = None
        self._inventory = inventory
        self._settings = settings
        self._clock = clock
        self._cluster = cluster
        self._observer = observer
        self._devices = devices
        self._record = record
        # a service with an interval of its own needs a window that holds enough of them
        longest = max((state.rule.refresh_s for state in self.states.values()), default=0)
        self._window = Window(max(settings.window_max_second, INTERVALS * longest))
        rules = [state.rule for state in self.states.values() if isinstance(state.rule, CapacitySettings)]
        self._efforts = Efforts(self.states, LATE_S + max((rule.persistence_s for rule in rules), default=0))
        for number, state in enumerate(self.states.values()):  # not all of them in the same tick
            state.care.next_at = self._clock.now() + FOLLOW_S * number / len(self.states)
        self._away_since: float | None = None
        self._running_at_start: dict[Instance, float] = {}
        self._announcements = Announcements(inventory.services)

    def start(self) -> None:
        """Fill the window from before the start and find out what really runs on the devices.

        Raises:
            BrokerUnreachable: no broker answered.
        """
        self._observer.start()
        self._find_running()
        if not self._observer.wait_caught_up(CATCH_UP_S):
            log.warning("the observer topic's history was not read within %g s; going on without it", CATCH_UP_S)
        # last, so that the first look follows it without a hole
        count_history(self._window, self._cluster, self.services, self._clock.now())
        spread_beats(self.states.values(), self._clock.now())

    def close(self) -> None:
        """Stop reading."""
        self._observer.close()

    def observe(self) -> None:
        """Take in reports and offsets and find out who runs; a broker that is away leaves everything unknown."""
        tally = self._observer.take()
        count_reports(self._window, tally, self.services)
        self._efforts.add_all(tally.finished)
        self.book.enter(tally)
        if tally.rejected:
            last = tally.samples[-1]
            log.warning(
                "%d observer messages refused, the last at offset %d: %s", tally.rejected, last.offset, last.reason
            )
        self._announcements.hear(tally.pairs)
        before, self.look = self.look, self._look_at_cluster()
        if self.look is not None:
            count_offsets(self._window, before, self.look, self.services)
            for state in self.states.values():
                state.follow(self.look)
        for state in self.states.values():
            self._observe_fleet(state)
        self.book.forget_before(self._clock.now() - self._settings.window_max_second)

    def decide(self, due: Iterable[ServiceState]) -> list[tuple[ServiceState, Decision]]:
        """Decide for services; pure but for the clock."""
        now = self._clock.now()
        states, occupied = list(due), Counter(instance.device for instance in self.occupied())
        devices, barred = self._devices.described(), self._devices.barred()
        views = [state.view(self.look, self.book.stuck(state.service.name, now)) for state in states]
        found = reading.read(self._window, self._efforts, int(now) - SETTLE_S, views)
        decided = []
        for state in states:
            memory = replace(state.memory, busy=state.busy or state.waits_for)
            usable = {name: devices[name] for name in self._inventory.hosts_of(state.service)}
            fleet = state.usable(self.look, usable, occupied, barred | self._devices.set_aside(state.service.name))
            seen = found[state.service.name]
            policys, remembered = policy.decide(state.service, seen, fleet, memory, state.rule, now)
            decision = overridden(policys, state.override, state.service, now)
            # the effect of a scale-out that an order replaced can never be judged
            state.memory = remembered if decision is policys else replace(remembered, trial=memory.trial)
            state.plan(decision)
            decided.append((state, decision))
        return decided

    def occupied(self) -> set[Instance]:
        """Instances of all services that hold a slot."""
        return {instance for state in self.states.values() for instance in state.fleet.instances}

    def growths(self, state: ServiceState) -> tuple[Growth, ...] | None:
        """Topics that have fewer partitions than members; None while that is unknown or an action is under way."""
        group = self.look.groups.get(state.service.group_id) if self.look is not None else None
        if self.look is None or group is None or not group.stable or state.busy is not None:
            return None
        return growth.plan(state.service, group, self.look.counts, state.planned)

    def _find_running(self) -> None:
        now = self._clock.now()
        for name, probe in self._devices.look([device.name for device in self._inventory.devices]).items():
            if not probe.reachable:
                log.warning("%s does not answer: %s", name, probe.reason)
            for instance in active(probe):
                log.info("%s runs already", instance)
                self._running_at_start[instance] = now
                if instance.service in self.states:
                    self.states[instance.service].care.expected.add(instance)

    def _look_at_cluster(self) -> Look | None:
        topics = {s.source_topic for s in self.services}
        try:
            look = self._cluster.look(self._clock.now(), topics, {s.group_id for s in self.services})
        except (BrokerUnreachable, KafkaError) as error:
            if self._away_since is None:
                self._away_since = self._clock.now()
                log.error("nothing is decided until the broker answers again: %s", error)  # noqa: TRY400
            gc.collect()  # kafka-python's refused connections are cycles that keep their sockets
            return None
        if self._away_since is not None:
            log.info("the broker answers again after %.0f s", self._clock.now() - self._away_since)
            self._away_since = None
        return look

    def _observe_fleet(self, state: ServiceState) -> None:
        if self.look is None:
            return
        now, service = self._clock.now(), state.service
        group = self.look.groups.get(service.group_id)
        requested = state.under_way
        # what ran when the master started has the time of a proof to join its group before it counts as missing
        young = [i for i, at in self._running_at_start.items() if now - at < self._settings.proof_deadline]
        slots, ages = self._inventory.slots_of(service), self.book.ages(service.name, now)
        seen = observe(service.name, service.source_topic, slots, ages, group, requested)
        if group is not None and not group.stable and state.fleet.observed is not None:
            # in a rebalance nobody is listed: who was there a moment ago and still reports is there
            names = {o.instance for o in seen.observed or ()}
            kept = [o for o in state.fleet.observed if o.instance not in names and (o.report_age_s or 0) < SETTLE_S + 1]
            seen = replace(seen, observed=(*(seen.observed or ()), *kept))
        state.fleet = seen
        self._notice_changes(state, seen.working)
        self._notice_outdated(state, now)
        missing = [i for i in young if i.service == service.name and i not in seen.working]
        state.joining = ", ".join(str(i) for i in missing)
        state.fleet = replace(seen, requested=(*requested, *missing))
        self._follow(state, now)

    def _notice_outdated(self, state: ServiceState, now: float) -> None:
        """Look after who waits for the wanted release, also if it was replaced or this master has never seen it."""
        waiting = self.book.outdated(state.service.name, now)
        present, cleared = state.fleet.observed or (), self._devices.drained(state.service.name)
        state.care.outdated = {
            seen.instance: waiting[str(seen.instance)]
            for seen in present
            if str(seen.instance) in waiting and seen.member is False and seen.instance.device not in cleared
        }
        state.care.expected |= set(state.care.outdated)

    def _follow(self, state: ServiceState, now: float) -> None:
        look, service = self.look, state.service
        if look is None or not state.care.due(state.fleet.working, now):
            return
        group, topic = service.group_id, service.source_topic
        committed = look.committed.get(group)
        sight = Sight(
            fleet=state.fleet,
            ends=look.ends.get(topic),
            committed=None if committed is None else {p: at for (of, p), at in committed.items() if of == topic},
            reporting=self.book.youngest(now) < SILENT_S,
            at=now,
            outdated=state.care.outdated,
        )
        state.care.follow(sight, service.heal)

    def _notice_changes(self, state: ServiceState, instances: frozenset[Instance]) -> None:
        if state.known is not None:
            for instance in sorted(instances - state.known):
                if instance in state.ever:
                    self._tell("returned", state, instance, "is a member again")
                    continue
                state.remember(last_seen_new_at=self._clock.now())
                if instance not in state.started:
                    self._tell("adopted", state, instance, "was not started by this master")
            for instance in sorted(state.known - instances - state.care.leaving):
                self._tell("lost", state, instance, "is not a member any more")
        state.care.notice(state.known or (), instances)
        state.known = instances
        state.ever |= instances

    def _tell(self, name: StepName, state: ServiceState, instance: Instance, detail: str) -> None:
        self._record(Step(name, state.service.name, self._clock.now(), detail, str(instance)))
