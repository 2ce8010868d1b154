"""The loop: observe, decide, act, record. One tick after the other, never blocked by an action."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kafka.errors import KafkaError

from orchestrator.act.actuator import Actuator
from orchestrator.act.means import Means
from orchestrator.act.scaleout import ScaleOut
from orchestrator.act.slots import Slots
from orchestrator.act.step import Step
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.ledger import Entry, Ledger, RecordKind
from orchestrator.broker.observer import Observer
from orchestrator.broker.topics import create_topics
from orchestrator.clock import Clock
from orchestrator.core.decision import Decision
from orchestrator.core.growth import Growth
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Mark, Placement
from orchestrator.errors import BrokerUnreachable
from orchestrator.inventory import Inventory
from orchestrator.service_state import ServiceState
from orchestrator.settings import Settings
from orchestrator.watch import ProbeDevices, Watch

log = logging.getLogger(__name__)

#: What the master needs of an action that it has told to stop: Ansible's grace and the drain of its threads.
STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be done for one service: the decision, where it would start, which topics would grow."""

    decision: Decision
    placement: Placement | None
    growth: tuple[Growth, ...]


class Master:
    """Keeps every service of the inventory at the number of instances that it needs."""

    def __init__(
        self,
        inventory: Inventory,
        settings: Settings,
        clock: Clock,
        open_cluster: Callable[[], Cluster],
        observer: Observer,
        ledger: Ledger,
        probe_devices: ProbeDevices,
    ) -> None:
        """Take the shells; nothing is contacted before :meth:`run`.

        Args:
            inventory: the fleet.
            settings: how to observe, decide and act.
            clock: time.
            open_cluster: opens an admin connection; one for the loop and one for each action.
            observer: the observer topic, not yet started.
            ledger: where decisions and steps are kept.
            probe_devices: asks devices over SSH.
        """
        self.stop = threading.Event()
        self._inventory = inventory
        self._settings = settings
        self._clock = clock
        self._open_cluster = open_cluster
        self._cluster = open_cluster()
        self._ledger = ledger
        self._lock = threading.Lock()  # guards the marks and the ledger's buffer, which action threads add to
        self._marks: dict[str, Mark] = {}
        self._placed: dict[str, float] = {}
        self._proved: list[Step] = []
        self._slots = Slots({device.name: device.slots for device in inventory.devices})
        self._actuator = Actuator(clock, settings.deploy_deadline)
        self.watch = Watch(inventory, settings, clock, self._cluster, observer, probe_devices, self._record)

    def run(self, entries: Iterable[Entry] = ()) -> None:
        """Tick until ``stop`` is set; what is under way is ended, and the ledger written, before it returns.

        Args:
            entries: the ledger as the last master left it: its cooldowns go on.

        Raises:
            BrokerUnreachable: no broker answered at the start.
        """
        try:
            create_topics(self._cluster, self._settings, self._inventory.services)
            self._resume(entries)
            self.watch.start()
            self._enter("master", "", {"event": "started", "pid": os.getpid(), "host": socket.gethostname()})
            log.info("watching %d services on %d devices", len(self.watch.states), len(self._inventory.devices))
            self.tick()
            while not self._clock.wait(self.stop, self._settings.sleep_time):
                self.tick()
        finally:
            self._close()

    def plan(self, entries: Iterable[Entry] = ()) -> list[Planned]:
        """What the next tick would do, for every service; nothing is created, recorded or started.

        Raises:
            BrokerUnreachable: no broker answered.
        """
        try:
            self._resume(entries)
            self.watch.start()
            self.watch.observe()
            planned = []
            for state, decision in self.watch.decide(self.watch.states.values()):
                placement = self._place(state) if decision.direction == "up" else None
                planned.append(Planned(decision, placement, self.watch.growths(state)))
            return planned
        finally:
            self.watch.close()
            self._cluster.close()

    def tick(self) -> None:
        """Observe, and decide for the services that are due."""
        self.watch.observe()
        now = self._clock.now()
        with self._lock:
            placed, self._placed = self._placed, {}
            proved, self._proved = self._proved, []
        for service, at in placed.items():  # the cooldown begins with a start, not with the wish for one
            self.watch.states[service].remember(last_start_at=at)
        for step in proved:
            self.watch.states[step.service].started_up(step.numbers)
        due = [state for state in self.watch.states.values() if now >= state.next_at]
        for state, decision in self.watch.decide(due):
            state.next_at = now + state.rule.refresh_s
            self._announce(decision)
            if decision.direction == "up":
                self._act(state, decision)
        for state in self.watch.states.values():
            self._grow(state)
        with self._lock:
            self._ledger.flush()

    def _resume(self, entries: Iterable[Entry]) -> None:
        """Take over the cooldowns that the ledger knows of."""
        for entry in entries:
            state = self.watch.states.get(entry.service)
            if state is None or entry.kind != "step":
                continue
            if entry.body.get("name") == "placed":
                state.remember(last_start_at=entry.at)
            elif entry.body.get("name") == "proved":
                state.remember(last_seen_new_at=entry.at)
                state.started_up(entry.body.get("numbers") or {})

    def _close(self) -> None:
        self.stop.set()
        for state in self.watch.states.values():
            if state.action is not None:
                state.action.join(timeout=STOP_S)
        self.watch.close()
        self._enter("master", "", {"event": "stopped", "pid": os.getpid(), "host": socket.gethostname()})
        self._ledger.close()
        self._cluster.close()

    def _grow(self, state: ServiceState) -> None:
        for wanted in self.watch.growths(state):
            now = self._clock.now()
            if wanted.refused is not None:
                if wanted.topic not in state.grown_refused:
                    state.grown_refused.add(wanted.topic)
                    detail = f"{wanted.topic} keeps {wanted.before} partitions: {wanted.refused}"
                    self._record(Step("growth-refused", state.service.name, now, detail))
                continue
            try:
                after = self._cluster.grow(wanted.topic, wanted.after)
            except (BrokerUnreachable, KafkaError) as error:
                log.warning("%s was not grown: %s; tried again at the next tick", wanted.topic, error)
                continue
            detail = f"{wanted.topic}: {wanted.before} -> {after}: {wanted.reason}"
            self._record(Step("partitions-grown", state.service.name, now, detail))

    def _announce(self, decision: Decision) -> None:
        self._enter("decision", decision.service, decision.as_dict())
        loud = decision.direction != "none" or decision.kind in ("spike", "unknown", "at-maximum", "keyed")
        log.log(
            logging.WARNING if loud else logging.INFO, "%s: %s: %s", decision.service, decision.kind, decision.reason
        )

    def _act(self, state: ServiceState, decision: Decision) -> None:
        missing = (decision.desired or 0) - (decision.current or 0)
        means = Means(
            actuator=self._actuator,
            open_cluster=self._open_cluster,
            reports=self.watch.book,
            clock=self._clock,
            inventory=self._inventory.path,
            proof_deadline_s=self._settings.proof_deadline,
            quarantine_s=self._settings.quarantine,
            record=self._record,
            mark=self._mark,
            reserve=lambda instance: self._slots.reserve(instance, self.watch.occupied()),
            release=self._slots.release,
            stop=self.stop,
        )

        def progress(instance: Instance | None, words: str) -> None:
            if instance is not None:
                state.started.add(instance)
            state.chosen, state.progress = instance, words

        def carry_out() -> None:
            try:
                for _ in range(missing):
                    if ScaleOut(state.service, decision.at, means, progress).run(self._place(state)) is None:
                        return
            except Exception:  # a mistake of ours must not end silently with its thread
                log.exception("%s: the scale-out ended with an error that was not foreseen", state.service.name)

        state.action = threading.Thread(target=carry_out, name=f"scale-out-{state.service.name}")
        state.action.start()

    def _place(self, state: ServiceState) -> Placement:
        with self._lock:
            marks = list(self._marks.values())
        return self.watch.place(state, marks, self._slots.held())

    def _mark(self, mark: Mark) -> None:
        with self._lock:
            self._marks[mark.device] = mark

    def _record(self, step: Step) -> None:
        bad = step.name in ("failed", "unproved", "no-device", "lost", "growth-refused", "interrupted")
        words = " ".join(part for part in (step.instance, step.detail) if part)
        log.log(logging.WARNING if bad else logging.INFO, "%s: %s: %s", step.service, step.name, words)
        self._enter("step", step.service, asdict(step), step.at)
        with self._lock:
            if step.name == "placed":
                self._placed[step.service] = step.at
            elif step.name == "proved":
                self._proved.append(step)

    def _enter(self, kind: RecordKind, service: str, body: Mapping[str, Any], at: float | None = None) -> None:
        entry = Entry(kind, service, self._clock.now() if at is None else at, body)
        with self._lock:
            self._ledger.append(entry)
