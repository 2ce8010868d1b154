"""Carrying out: one action at a time for each service, in a thread of its own, so that observing never stops."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from orchestrator import artifact
from orchestrator.act.actuator import Actuator
from orchestrator.act.course import Course
from orchestrator.act.heal import Heal, Healed
from orchestrator.act.means import Means
from orchestrator.act.scalein import ScaleIn
from orchestrator.act.scaleout import ScaleOut
from orchestrator.act.step import Step
from orchestrator.broker.cluster import Cluster
from orchestrator.clock import Clock
from orchestrator.core.decision import Decision
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.health import Ailment, due
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Placement
from orchestrator.devices import Devices
from orchestrator.errors import NotLeading
from orchestrator.project import PROJECT
from orchestrator.service_state import ServiceState
from orchestrator.settings import Settings
from orchestrator.watch import Watch

log = logging.getLogger(__name__)

#: What an action that was told to stop needs: Ansible's grace and the drain of its threads.
STOP_S = 30.0
#: Seconds that the command which drains a device has for it, before a master does it.
CLAIM_S = 30.0


class Acting:
    """Starts, stops and heals instances."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        inventory: Path,
        open_cluster: Callable[[], Cluster],
        watch: Watch,
        devices: Devices,
        diagnose: Callable[[Instance], Diagnosis],
        record: Callable[[Step], None],
        stop: threading.Event,
        may_act: Callable[[], bool],
    ) -> None:
        """Take the shells.

        Args:
            settings: deadlines.
            clock: time.
            inventory: given to Ansible.
            open_cluster: opens an admin connection for each action.
            watch: what is observed.
            devices: where instances may run.
            diagnose: asks a device about an instance of it.
            record: is told every step.
            stop: ends every action early.
            may_act: is asked before each Ansible run.
        """
        self._settings = settings
        self._clock = clock
        self._inventory = inventory
        self._open_cluster = open_cluster
        self._watch = watch
        self._devices = devices
        self._diagnose = diagnose
        self._record = record
        self._stop = stop
        self._actuator = Actuator(clock, settings.deploy_deadline, may_act)
        self._healed: queue.SimpleQueue[tuple[ServiceState, Healed]] = queue.SimpleQueue()

    def choose(self, state: ServiceState, count: int, decision: Decision | None = None) -> Placement:
        """Where ``count`` more instances of a service would go; probes its devices."""
        planned = None if decision is None else decision.numbers.get("planned_capacity_per_s")
        wanted = 0 if decision is None else decision.desired
        each = planned / wanted if isinstance(planned, int | float) and wanted else None
        return self._devices.place(state.service, count, self._watch.occupied(), state.learned, each)

    def scale_out(self, state: ServiceState, decision: Decision) -> None:
        """Start as many as the decision misses."""
        missing = (decision.desired or 0) - (decision.current or 0)
        means, planned = self._means(state), state.planned
        self._start(
            state,
            "scale-out",
            lambda: ScaleOut(state.service, decision.at, means, planned).run(
                missing, lambda n: self.choose(state, n, decision)
            ),
        )

    def take_up(self, state: ServiceState, begun: Mapping[Instance, float]) -> None:
        """Go on with starts that another master has begun, at the same places; elsewhere only if they fail there.

        Args:
            state: of the service.
            begun: the instances, and when each was placed.
        """
        instances, means = tuple(sorted(begun)), self._means(state)
        log.info("%s: the start of %s is taken up", state.service.name, ", ".join(map(str, instances)))
        places = [Placement(instances, len(instances), {})]

        def choose(count: int) -> Placement:
            return places.pop() if places else self.choose(state, count)

        at = min(begun.values())
        self._start(state, "scale-out", lambda: ScaleOut(state.service, at, means).run(len(instances), choose))

    def scale_in(self, state: ServiceState, decision: Decision) -> None:
        """Drain as many as the decision has too many, those that are missed least; never below the minimum."""
        chosen = self.missed_least(state, decision)
        if chosen:
            self._drain(state, chosen, f"{decision.kind}: it is missed least", decision.at)

    def missed_least(self, state: ServiceState, decision: Decision) -> tuple[Instance, ...]:
        """The instances that a decision for fewer would stop."""
        working = state.fleet.working
        surplus = (decision.current or 0) - (decision.desired or 0)
        count = min(surplus, len(working) - state.service.min_instances)
        return self._devices.give_back(state.service, working, count, self._watch.occupied(), state.learned)

    def clear(self, state: ServiceState) -> None:
        """Drain what runs on devices that an operator has drained: also what came back there, or joined again.

        The command that gave the order drains by itself; what it stops is not missed.
        """
        marks = self._devices.drained(state.service.name)
        if not marks or state.busy is not None:
            return
        here = [observed.instance for observed in state.fleet.observed or () if observed.instance.device in marks]
        now = self._clock.now()
        young = [instance for instance in here if now - marks[instance.device].at < CLAIM_S]
        state.care.expect_gone([*young, *(i for i in state.care.expected if i.device in marks)])
        old = [instance for instance in here if instance not in young]
        if old:
            mark = marks[old[0].device]
            self._drain(state, old, f"{mark.device} was drained by {mark.by}", now)

    def heal(self, state: ServiceState) -> None:
        """Look after the next instance that ails, or after one that came back although it had been replaced."""
        if state.busy is not None:
            return
        now, care, heal = self._clock.now(), state.care, state.service.heal
        home = care.back_home(now, heal)
        if home is not None:
            self._settle(state, home)
            return
        ailment = due(care.ailments, care.vitals, now)
        if ailment is not None:
            self._look_after(state, ailment)

    def take_healed(self) -> None:
        """Take in what was healed since the last call; by the loop's thread."""
        while not self._healed.empty():
            state, healed = self._healed.get()
            state.care.take(healed)

    def start(self) -> None:
        """Have Ansible ready before it is needed."""
        self._actuator.start()

    def close(self) -> None:
        """Wait for every action to end, then end Ansible; ``stop`` is set."""
        for state in self._watch.states.values():
            if state.action is not None:
                state.action.join(timeout=STOP_S)
        self._actuator.close()

    def _look_after(self, state: ServiceState, ailment: Ailment) -> None:
        vital = state.care.vitals[ailment.instance]
        path = PROJECT / Path(state.service.artifact).expanduser()
        heal = Heal(
            state.service,
            self._means(state),
            self._diagnose,
            lambda n: self.choose(state, n),
            lambda: artifact.checksum(path),
        )
        self._start(state, "heal", lambda: self._healed.put((state, heal.run(ailment, vital))))

    def _settle(self, state: ServiceState, home: Instance) -> None:
        """Of an instance that came back and the one in its place, one is too many."""
        stand_in, working = state.care.stand_ins.pop(home), state.fleet.working
        needed = len(working) - 1 < state.service.min_instances
        returns = state.service.heal.return_home
        goes, stays = (stand_in, home) if returns else (home, stand_in)
        course, now = Course(state.service.name, self._clock.now(), self._means(state)), self._clock.now()
        if stand_in not in working or needed:
            why = "both are needed" if needed else f"{stand_in}, which ran in its place, does not any more"
            course.tell("surplus", f"is back, and stays: {why}", home, numbers={"by": str(stand_in)})
            return
        words = f"is back; {stays} stays and {goes} is stopped (return_home: {str(returns).lower()})"
        course.tell("surplus", words, home, numbers={"by": str(stand_in)})
        self._drain(state, (goes,), f"surplus: {home} is back", now)

    def _drain(self, state: ServiceState, instances: Collection[Instance], why: str, at: float) -> None:
        state.care.expect_gone(instances)
        means = self._means(state)
        self._start(state, "scale-in", lambda: ScaleIn(state.service, at, means).run(instances, why))

    def _means(self, state: ServiceState) -> Means:
        slots, settings = self._devices.slots, self._settings

        def progress(instances: Collection[Instance], words: str) -> None:
            state.started.update(instances)
            state.under_way, state.progress = tuple(instances), words

        return Means(
            actuator=self._actuator,
            open_cluster=self._open_cluster,
            reports=self._watch.book,
            clock=self._clock,
            inventory=self._inventory,
            proof_deadline_s=settings.proof_deadline,
            retry_s=settings.deploy_deadline,
            record=self._record,
            failed=self._devices.failed,
            worked=self._devices.worked,
            reserve=lambda instance: slots.reserve(instance, self._watch.occupied()),
            release=slots.release,
            progress=progress,
            stop=self._stop,
        )

    def _start(self, state: ServiceState, name: str, carry_out: Callable[[], object]) -> None:
        def guarded() -> None:
            try:
                carry_out()
            except NotLeading as refusal:
                log.warning("%s: the %s is left to the master that leads: %s", state.service.name, name, refusal)
            except Exception:  # a mistake of ours must not end silently with its thread
                log.exception("%s: the %s ended with an error that was not foreseen", state.service.name, name)
            finally:
                state.under_way, state.progress = (), ""

        state.action = threading.Thread(target=guarded, name=f"{name}-{state.service.name}")
        state.action.start()
