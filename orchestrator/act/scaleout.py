"""A scale-out is one transaction: start a batch on devices, prove every instance, undo and replace those that fail.

placed -> ansible-started -> process-alive -> partitions-grown -> member -> partition-owned -> first-message
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from orchestrator.act.course import Course
from orchestrator.act.known import known
from orchestrator.act.means import Means
from orchestrator.act.proof import Proof, Unproved
from orchestrator.act.run import deploy, drain
from orchestrator.act.starting import Starting
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Placement
from orchestrator.core.service import Service

Choose = Callable[[int], Placement]


class ScaleOut:
    """Starts instances of a service, in one Ansible run; for those that fail other devices are tried.

    Each is proved as soon as its own device has started it; a device that is slow, hangs or is gone delays no other.
    """

    def __init__(self, service: Service, decided_at: float, means: Means, planned: int = 0) -> None:
        """Prepare.

        Args:
            service: what to start.
            decided_at: when it was decided; all times are counted from here.
            means: what to work with.
            planned: instances that are wanted in all, so that topics are grown once for all of them; 0 for no plan.
        """
        self._service = service
        self._planned = planned
        self._means = means
        self._course = Course(service.name, decided_at, means)
        self._hopeless = False

    def run(self, count: int, choose: Choose) -> tuple[Instance, ...]:
        """Start ``count`` instances where ``choose`` says; returns those that run now.

        A device that failed is in quarantine when ``choose`` is asked again for the instances still missing. Where
        Ansible could not begin, no device is to blame, and no other is tried: that is the next decision's.
        """
        running: list[Instance] = []
        until = self._means.clock.now() + self._means.retry_s
        while len(running) < count and not self._means.stop.is_set():
            placement = choose(count - len(running))
            if not placement.chosen:
                tried = "no device" if not running else f"no device for {count - len(running)} more"
                self._course.tell("no-device", f"{tried} for {self._service.name}: {placement.explanation}")
                break
            batch = [instance for instance in placement.chosen if self._means.reserve(instance)]
            if not batch:
                self._course.tell("no-device", "the slots were taken by another service meanwhile")
                break
            try:
                running += self._start(batch, placement)
            finally:
                for instance in batch:
                    self._means.release(instance)
                self._course.end()
            if self._hopeless:
                break
            if len(running) < count and not self._means.stop.is_set() and self._means.clock.now() > until:
                words = f"{len(running)} of {count} were started, and {self._means.retry_s:g} s for it are over"
                self._course.tell("no-device", words)
                break
        return tuple(running)

    def _start(self, batch: Collection[Instance], placement: Placement) -> list[Instance]:
        means, course = self._means, self._course
        course.begin(batch, "Ansible is being started")
        for instance in batch:
            course.tell("placed", f"{instance.device}: {placement.explanation}", instance)
            means.reports.forget(instance)
        request = deploy(batch, means.inventory, known(self._service))
        gone: set[Instance] = set()
        undone: list[Instance] = []

        def lost(instance: Instance, reason: str) -> None:
            if instance not in gone:  # one that its group let in and that failed to prove itself has been told
                gone.add(instance)
                # Of a task that failed its device told; else the run is over, and perhaps no device was to blame.
                blame = starting.failed[instance].task is not None or starting.outcome().begun
                self._fail(instance, reason, blame=blame)

        def unproved(instance: Instance, failure: Unproved) -> None:
            if means.stop.is_set():
                course.tell("interrupted", f"{failure.reason}; it keeps running", instance)
            elif failure.unknown:  # neither undone nor repeated: it is looked after when the broker is back
                course.tell("unproved", f"{failure.reason}; it keeps running", instance)
            else:
                gone.add(instance)
                undone.append(instance)
                self._fail(instance, failure.reason, blame=failure.blame)

        with Starting(batch, request, means, course, lost) as starting:
            Proof(self._service, batch, means, course, self._planned, unproved).run(starting)
            for instance in [one for one in starting.awaited if one not in gone]:
                gone.add(instance)
                words = starting.outcome().error or "the master is stopping"
                course.tell("interrupted", f"{words}; the next start finds out what runs", instance)
            self._hopeless = not starting.outcome().begun
        undone += [one for one, host in starting.failed.items() if host.verdict == "failed" and one not in undone]
        self._compensate(undone)
        return [instance for instance in batch if instance not in gone]

    def _compensate(self, failed: Collection[Instance]) -> None:
        if not failed or self._hopeless:
            return
        outcome = self._means.actuator.run(drain(failed, self._means.inventory), self._means.stop)
        for instance in failed:
            host = outcome.of(instance.device)
            words = "stopped again" if host.verdict == "ok" else f"could not be stopped: {host.words}"
            self._course.tell("compensated", words, instance)

    def _fail(self, instance: Instance, reason: str, *, blame: bool) -> None:
        self._course.tell("failed", reason, instance)
        if blame:
            quarantine = self._means.failed(instance.device, reason)
            left = quarantine.until - self._means.clock.now()
            self._course.tell(
                "quarantined",
                f"{instance.device} is left alone for {left:.0f} s, after {quarantine.failures} failures in a row",
                instance,
                numbers={"until": quarantine.until, "failures": quarantine.failures, "reason": quarantine.reason},
            )
