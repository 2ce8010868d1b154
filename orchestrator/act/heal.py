"""Healing one instance: diagnose it over SSH, then restart it where it is, or replace it elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from orchestrator.act.course import Course, Numbers
from orchestrator.act.evict import evict
from orchestrator.act.means import Means
from orchestrator.act.proof import Proof
from orchestrator.act.run import PlaybookRun, deploy, restart
from orchestrator.act.scalein import ScaleIn
from orchestrator.act.scaleout import Choose, ScaleOut
from orchestrator.act.step import StepName
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.health import Ailment, Vital
from orchestrator.core.instance import Instance
from orchestrator.core.service import Service
from orchestrator.core.treatment import Action, treat


@dataclass(frozen=True, slots=True)
class Healed:
    """What was done about an instance.

    Attributes:
        instance: which.
        action: what.
        at: when it was over, seconds since the epoch.
        said: the diagnosis that was told.
        by: the instance that runs in its place.
    """

    instance: Instance
    action: Action
    at: float
    said: str
    by: Instance | None = None


class Heal:
    """Looks after one instance of a service."""

    def __init__(
        self,
        service: Service,
        means: Means,
        diagnose: Callable[[Instance], Diagnosis],
        choose: Choose,
        release: Callable[[], str],
    ) -> None:
        """Prepare.

        Args:
            service: whose.
            means: what to work with.
            diagnose: asks the instance's device.
            choose: where another instance would go.
            release: the checksum of what this master would deploy.
        """
        self._service = service
        self._means = means
        self._diagnose = diagnose
        self._choose = choose
        self._release = release

    def run(self, ailment: Ailment, vital: Vital) -> Healed:
        """Diagnose and treat; a diagnosis that says nothing new is not told again."""
        means, instance = self._means, ailment.instance
        began = means.clock.now()
        course = Course(self._service.name, began, means)
        course.begin([instance], "is being diagnosed")
        try:
            found = self._diagnose(instance)
            ours = self._release() if ailment.waits_for else None
            treatment = treat(ailment, found, vital, self._service.heal, means.clock.now(), ours)
            said = f"{ailment.complaint}, {found.words}"
            if treatment.action != "wait" or _gist(said) != _gist(vital.said):
                words = f"{ailment.words}; {found.words}; so: {treatment.action}, {treatment.reason}"
                numbers: Numbers = {
                    "complaint": ailment.complaint,
                    "action": treatment.action,
                    "exit_code": found.exit_code,
                }
                course.tell("diagnosed", words, instance, numbers=numbers)
            by = None
            match treatment.action:
                case "restart":
                    self._restart(course, instance, runs=found.active not in ("inactive", "failed"))
                case "upgrade":
                    self._upgrade(course, instance)
                case "dismiss":
                    course.tell("dismissed", treatment.reason, instance)
                case "leave":
                    course.tell("given-up", f"it is left to systemd: {treatment.reason}", instance)
                case "give-up":
                    self._give_up(course, instance, f"{treatment.reason}; {found.words}")
            if treatment.action == "replace":
                evict(self._service, [instance], treatment.reason, means, course)
            if treatment.action in ("replace", "give-up"):
                by = self._replace(course, instance, began)
            return Healed(instance, treatment.action, means.clock.now(), said, by)
        finally:
            course.end()

    def _restart(self, course: Course, instance: Instance, *, runs: bool) -> None:
        build = restart if runs else deploy
        self._deploy(course, instance, build, "restarted", f"unit {instance.unit} runs again")

    def _upgrade(self, course: Course, instance: Instance) -> None:
        words = f"unit {instance.unit} runs the wanted release"
        self._deploy(course, instance, deploy, "upgraded", words)

    def _deploy(
        self,
        course: Course,
        instance: Instance,
        build: Callable[[Collection[Instance], Path], PlaybookRun],
        done: StepName,
        words: str,
    ) -> None:
        means = self._means
        means.reports.forget(instance)
        outcome = means.actuator.run(build([instance], means.inventory), means.stop)
        host = outcome.of(instance.device)
        if host.verdict != "ok":
            course.tell("failed", f"not {done}: {host.words}", instance)
            return
        course.tell(done, words, instance)
        failure = Proof(self._service, [instance], means, course).run().get(instance)
        if failure is not None:
            course.tell("unproved" if failure.unknown else "failed", failure.reason, instance)

    def _give_up(self, course: Course, instance: Instance, reason: str) -> None:
        quarantine = self._means.failed(instance.device, reason)
        left = quarantine.until - self._means.clock.now()
        course.tell("given-up", f"{reason}; {instance.device} is left alone for {left:.0f} s", instance)
        numbers: Numbers = {"until": quarantine.until, "failures": quarantine.failures, "reason": quarantine.reason}
        course.tell("quarantined", f"{instance.device} until it is tried again", instance, numbers=numbers)
        ScaleIn(self._service, self._means.clock.now(), self._means).run([instance], "it was given up")

    def _replace(self, course: Course, instance: Instance, began: float) -> Instance | None:
        started = ScaleOut(self._service, began, self._means).run(1, self._choose)
        if not started:
            if not self._means.stop.is_set():
                course.tell("given-up", "no other device can take its place: the next decision sees to it", instance)
            return None
        course.tell("replaced", f"{started[0]} runs in its place", instance, numbers={"by": str(started[0])})
        return started[0]


def _gist(said: str) -> str:
    """A diagnosis without its figures, which change all the time."""
    return "".join(letter for letter in said if not letter.isdigit())
