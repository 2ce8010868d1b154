"""A scale-out is one transaction: start on a device, prove every stage, or undo it and try the next device.

placed -> ansible-started -> process-alive -> member -> partitions-grown -> partition-owned -> first-message
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.act.means import Means
from orchestrator.act.proof import Proof, Unproved
from orchestrator.act.run import HostOutcome, deploy, drain
from orchestrator.act.step import Step, StepName
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Mark, Placement
from orchestrator.core.service import Service


class ScaleOut:
    """Starts one more instance of a service, on the first candidate that works."""

    def __init__(
        self, service: Service, decided_at: float, means: Means, on_progress: Callable[[Instance | None, str], None]
    ) -> None:
        """Prepare.

        Args:
            service: what to start.
            decided_at: when it was decided; all times are counted from here.
            means: what to work with.
            on_progress: is told which instance is being started and how far it is; None when none is any more.
        """
        self._service = service
        self._decided_at = decided_at
        self._means = means
        self._on_progress = on_progress
        self._parts: dict[str, float] = {}

    def run(self, placement: Placement) -> Instance | None:
        """Try the candidates in order; returns the proved instance, None when none worked or it was interrupted."""
        if not placement.candidates:
            self._step("no-device", f"no device for {self._service.name}: {placement.explanation}")
            return None
        for instance in placement.candidates:
            if self._means.stop.is_set():
                return None
            if not self._means.reserve(instance):
                continue
            self._parts = {}
            self._on_progress(instance, "Ansible is being started")
            try:
                if self._try(instance, placement):
                    return instance
            finally:
                self._means.release(instance)
                self._on_progress(None, "")
        if not self._means.stop.is_set():
            self._step("no-device", f"none of {len(placement.candidates)} candidates worked out")
        return None

    def _try(self, instance: Instance, placement: Placement) -> bool:
        means = self._means
        self._step("placed", f"{instance.device}: {placement.explanation}", instance)
        means.reports.forget(instance)

        def on_event(event: Mapping[str, Any]) -> None:
            if event.get("event") == "play" and "ansible-started" not in self._parts:
                self._step("ansible-started", str(event.get("name") or ""), instance)
            elif event.get("event") == "task":
                self._on_progress(instance, f"Ansible task: {event.get('name')}")

        outcome = means.actuator.run(deploy(instance, means.inventory), means.stop, on_event)
        if means.stop.is_set() and outcome.error is not None:
            self._step("interrupted", f"{outcome.error}; the next start finds out what runs", instance)
            return False
        host = outcome.of(instance.device)
        if host.verdict != "ok":
            self._fail(instance, _words(host), blame=True)
            if host.verdict == "failed":
                self._compensate(instance)
            return False
        self._step("process-alive", f"unit {instance.unit} runs", instance, at=outcome.ended_at)
        try:
            Proof(self._service, instance, means, self._step).run()
        except Unproved as failure:
            if means.stop.is_set():
                self._step("interrupted", f"{failure}; it keeps running", instance)
                return False
            if failure.unknown:  # neither undone nor repeated elsewhere: it is looked after when the broker is back
                self._step("unproved", f"{failure}; it keeps running", instance)
                return True
            self._fail(instance, str(failure), blame=failure.blame)
            self._compensate(instance)
            return False
        numbers = dict(self._parts)
        self._step("proved", "member, owner of a partition and advancing", instance, numbers=numbers)
        return True

    def _compensate(self, instance: Instance) -> None:
        outcome = self._means.actuator.run(drain(instance, self._means.inventory), self._means.stop)
        host = outcome.of(instance.device)
        words = "stopped again" if host.verdict == "ok" else f"could not be stopped: {_words(host)}"
        self._step("compensated", words, instance)

    def _fail(self, instance: Instance, reason: str, *, blame: bool) -> None:
        self._step("failed", reason, instance)
        if blame:
            until = self._means.clock.now() + self._means.quarantine_s
            self._means.mark(Mark(instance.device, reason, until))
            self._step("marked", f"{instance.device} is left alone for {self._means.quarantine_s:g} s", instance)

    def _step(
        self,
        name: StepName,
        detail: str,
        instance: Instance | None = None,
        *,
        at: float | None = None,
        numbers: Mapping[str, float | int | str | None] | None = None,
    ) -> None:
        if instance is not None and detail:
            self._on_progress(instance, f"{name}: {detail}")
        when = self._means.clock.now() if at is None else at
        self._parts[name] = round(when - self._decided_at, 3)
        figures: dict[str, float | int | str | None] = {"after_s": self._parts[name], **(numbers or {})}
        self._means.record(
            Step(name, self._service.name, when, detail, None if instance is None else str(instance), figures)
        )


def _words(host: HostOutcome) -> str:
    if host.verdict == "unreachable":
        return f"SSH does not get through: {host.reason}"
    return f"task '{host.task}' failed: {host.reason}" if host.task else host.reason
