"""The loop: observe, decide, act, record. One tick after the other, never blocked by an action."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from orchestrator.act.step import Step
from orchestrator.acting import Acting
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.ledger import Entry, Ledger, RecordKind
from orchestrator.broker.observer import Observer
from orchestrator.broker.topics import create_topics
from orchestrator.clock import Clock
from orchestrator.core.decision import Decision
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.instance import Instance
from orchestrator.devices import Devices
from orchestrator.growing import Growing
from orchestrator.inventory import Inventory
from orchestrator.planned import Planned
from orchestrator.settings import Settings
from orchestrator.takeover import give_order, set_aside, take_over
from orchestrator.watch import Watch

log = logging.getLogger(__name__)

#: Steps that deserve a look.
_BAD = frozenset(
    {"failed", "unproved", "no-device", "lost", "growth-refused", "interrupted", "drain-failed", "evicted"}
    | {"diagnosed", "given-up", "quarantined"}
)


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
        devices: Devices,
        diagnose: Callable[[Instance], Diagnosis],
        may_act: Callable[[], bool],
        leads: Callable[[], bool],
    ) -> None:
        """Take the shells; nothing is contacted before :meth:`run`.

        Args:
            inventory: the fleet.
            settings: how to observe, decide and act.
            clock: time.
            open_cluster: opens an admin connection; one for the loop and one for each action.
            observer: the observer topic, not yet started.
            ledger: where decisions and steps are kept.
            devices: where instances may run.
            diagnose: asks a device about an instance of it.
            may_act: is asked before each Ansible run.
            leads: whether its term goes on; it ends when not.
        """
        self.stop = threading.Event()
        self._inventory = inventory
        self._settings = settings
        self._clock = clock
        self._cluster = open_cluster()
        self._ledger = ledger
        self._lock = threading.Lock()  # guards the marks and the ledger's buffer, which action threads add to
        self._told: list[Step] = []
        self._devices = devices
        self._leads = leads
        self._unfinished: dict[str, dict[Instance, float]] = {}
        self.watch = Watch(inventory, settings, clock, self._cluster, observer, devices, self._record)
        self._growing = Growing(self._cluster, clock, self._record)
        self._acting = Acting(
            settings,
            clock,
            inventory.path,
            open_cluster,
            self.watch,
            devices,
            diagnose,
            self._record,
            self.stop,
            may_act,
        )

    def run(self, history: Iterable[Entry] = (), kept: Iterable[Entry] = ()) -> None:
        """Tick until ``stop`` is set or another master leads; what is under way is ended before it returns.

        Args:
            history: the ledger's history as the last master left it.
            kept: the ledger's state: what policies remember, and the orders of operators.

        Raises:
            BrokerUnreachable: no broker answered at the start.
        """
        try:
            create_topics(self._cluster, self._settings, self._inventory.services)
            self._resume(history, kept)
            self._acting.start()
            self.watch.start()
            self._enter("master", "", {"event": "started", "pid": os.getpid(), "host": socket.gethostname()})
            log.info("watching %d services on %d devices", len(self.watch.states), len(self._inventory.devices))
            self.watch.observe()
            for name, instances in self._unfinished.items():
                self._acting.take_up(self.watch.states[name], instances)
            self.tick()
            while not self._clock.wait(self.stop, self._settings.sleep_time):
                if not self._leads():
                    log.warning("another master leads now: this one stops acting")
                    return
                self.tick()
        finally:
            self._close()

    def hear(self, entry: Entry) -> None:
        """Take in what an operator has written to the ledger; may be called by any thread."""
        if entry.kind == "device":
            set_aside(self._devices, entry)
        state = self.watch.states.get(entry.service)
        if entry.kind == "override" and state is not None:
            give_order(state, entry)

    def plan(self, history: Iterable[Entry] = (), kept: Iterable[Entry] = ()) -> list[Planned]:
        """What the next tick would do, for every service; nothing is created, recorded or started.

        Raises:
            BrokerUnreachable: no broker answered.
        """
        try:
            self._resume(history, kept)
            self.watch.start()
            self.watch.observe()
            planned = []
            for state, decision in self.watch.decide(self.watch.states.values()):
                missing = (decision.desired or 0) - (decision.current or 0)
                placement = self._acting.choose(state, missing, decision) if decision.direction == "up" else None
                stops = self._acting.missed_least(state, decision) if decision.direction == "down" else ()
                planned.append(Planned(decision, placement, self.watch.growths(state) or (), stops))
            return planned
        finally:
            self.watch.close()
            self._cluster.close()

    def tick(self) -> None:
        """Observe, and decide for the services that are due."""
        self._acting.take_healed()
        self.watch.observe()
        now = self._clock.now()
        self._take_steps()
        due = [state for state in self.watch.states.values() if now >= state.next_at]
        for state, decision in self.watch.decide(due):
            state.next_at = state.beat_after(now)
            self._announce(decision, state.row_of(decision))
            self._enter("memory", decision.service, state.memory.as_dict())
            if decision.direction == "up":
                self._acting.scale_out(state, decision)
            elif decision.direction == "down":
                self._acting.scale_in(state, decision)
        for state in self.watch.states.values():
            self._acting.clear(state)
            self._acting.heal(state)
        for state in self.watch.states.values():
            self._growing.grow(state, self.watch.growths(state))
        with self._lock:
            self._ledger.flush()

    def _resume(self, history: Iterable[Entry], kept: Iterable[Entry]) -> None:
        since = self._clock.now() - self._settings.deploy_deadline - self._settings.proof_deadline
        self._unfinished = take_over(self.watch.states, self._devices, kept, history, since)

    def _close(self) -> None:
        self.stop.set()
        self._acting.close()
        self.watch.close()
        self._enter("master", "", {"event": "stopped", "pid": os.getpid(), "host": socket.gethostname()})
        self._ledger.close()
        self._cluster.close()

    def _take_steps(self) -> None:
        """Take in what the actions have told since the last tick."""
        with self._lock:
            told, self._told = self._told, []
        for step in told:
            state, instance = self.watch.states[step.service], Instance.parse(step.instance or "")
            if step.name == "placed":  # the cooldown begins with a start, not with the wish for one
                state.remember(last_start_at=step.at)
            elif step.name == "draining":
                state.remember(last_stop_at=step.at)
            elif step.name == "proved":
                state.started_up(step.numbers)
            elif step.name == "compensated" and instance is not None:
                state.care.expect_gone([instance])

    def _announce(self, decision: Decision, since: float | None) -> None:
        self._enter("decision", decision.service, decision.as_dict(), decision.at, since)
        loud = decision.direction != "none" or decision.kind in ("spike", "unknown", "at-maximum", "keyed")
        log.log(
            logging.WARNING if loud else logging.INFO, "%s: %s: %s", decision.service, decision.kind, decision.reason
        )

    def _record(self, step: Step) -> None:
        words = " ".join(part for part in (step.instance, step.detail) if part)
        log.log(logging.WARNING if step.name in _BAD else logging.INFO, "%s: %s: %s", step.service, step.name, words)
        self._enter("step", step.service, asdict(step), step.at)
        with self._lock:
            self._told.append(step)

    def _enter(
        self,
        kind: RecordKind,
        service: str,
        body: Mapping[str, Any],
        at: float | None = None,
        since: float | None = None,
    ) -> None:
        entry = Entry(kind, service, self._clock.now() if at is None else at, body, since)
        with self._lock:
            self._ledger.append(entry)
