"""A scale-out is one transaction: start on a device, prove every stage, or undo it and try the next device.

    placed -> ansible-started -> process-alive -> member -> partitions-grown -> partition-owned -> first-message

Partitions are grown only for an instance that is a member already: growth cannot be undone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka.errors import KafkaError

from orchestrator.act.actuator import Actuator
from orchestrator.act.run import HostOutcome, deploy, drain
from orchestrator.act.step import Step, StepName
from orchestrator.broker.book import ReportBook
from orchestrator.broker.cluster import Cluster
from orchestrator.clock import Clock
from orchestrator.core.fleet import Group, Member
from orchestrator.core.growth import plan
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Mark, Placement
from orchestrator.core.service import Service
from orchestrator.errors import BrokerUnreachable

#: How often the group is asked while something is waited for.
LOOK_S = 0.2
#: How often it is asked whether any message is waiting at all.
IDLE_LOOK_S = 2.0


@dataclass(frozen=True, slots=True)
class Means:
    """What a transaction works with.

    Attributes:
        actuator: runs Ansible.
        open_cluster: opens an admin connection for this thread.
        reports: the newest reports.
        clock: time.
        inventory: given to Ansible.
        proof_deadline_s: seconds from a live process to a message finished.
        quarantine_s: seconds that a device is left alone after a failure.
        record: is told every step.
        mark: is told every device that failed.
        stop: ends the transaction early.
    """

    actuator: Actuator
    open_cluster: Callable[[], Cluster]
    reports: ReportBook
    clock: Clock
    inventory: Path
    proof_deadline_s: float
    quarantine_s: float
    record: Callable[[Step], None]
    mark: Callable[[Mark], None]
    stop: threading.Event


class _Unproved(Exception):  # noqa: N818 - control flow inside this module, never seen outside
    """The instance did not get as far as it should; ``blame`` says whether its device is suspect."""

    def __init__(self, reason: str, *, blame: bool) -> None:
        super().__init__(reason)
        self.blame = blame


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
                self._step("interrupted", "the master is stopping")
                return None
            self._parts = {}
            self._on_progress(instance, "Ansible is being started")
            try:
                if self._try(instance, placement):
                    return instance
            finally:
                self._on_progress(None, "")
        self._step("no-device", f"all {len(placement.candidates)} candidates failed")
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
            self._prove(instance)
        except _Unproved as failure:
            if means.stop.is_set():
                self._step("interrupted", f"{failure}; it keeps running", instance)
                return False
            self._fail(instance, str(failure), blame=failure.blame)
            self._compensate(instance)
            return False
        numbers = dict(self._parts)
        self._step("proved", "member, owner of a partition and advancing", instance, numbers=numbers)
        return True

    def _prove(self, instance: Instance) -> None:
        means, service, topic = self._means, self._service, self._service.source_topic
        deadline = means.clock.now() + means.proof_deadline_s
        cluster = means.open_cluster()
        try:
            self._wait(cluster, deadline, f"did not join group {service.group_id}", instance, lambda _: True)
            self._step("member", f"joined {service.group_id}", instance)
            self._grow(cluster, deadline, instance)
            self._wait(
                cluster,
                deadline,
                f"was given no partition of {topic}",
                instance,
                lambda member: bool(member.partitions.get(topic)),
                blame=False,
            )
            self._step("partition-owned", f"owns a partition of {topic}", instance)
            self._advance(cluster, deadline, instance)
        finally:
            cluster.close()

    def _wait(
        self,
        cluster: Cluster,
        deadline: float,
        failure: str,
        instance: Instance,
        condition: Callable[[Member], bool],
        *,
        blame: bool = True,
    ) -> None:
        group_id, away = self._service.group_id, ""
        while True:
            try:
                members = _stable(cluster.groups([group_id])[group_id])
                away = ""
            except (BrokerUnreachable, KafkaError) as error:
                members, away = (), f" ({error})"
            if any(member.client_id == str(instance) and condition(member) for member in members):
                return
            if self._means.clock.now() > deadline:
                reason = f"{failure} within {self._means.proof_deadline_s:g} s{away}"
                raise _Unproved(reason, blame=blame and not away)
            if self._means.clock.wait(self._means.stop, LOOK_S):
                raise _Unproved(f"{failure} before the master was told to stop", blame=False)

    def _grow(self, cluster: Cluster, deadline: float, instance: Instance) -> None:
        group = cluster.groups([self._service.group_id])[self._service.group_id]
        topics = {topic for member in group.members for topic in member.topics}
        partitions = {topic: len(ids) for topic, ids in cluster.partitions(topics).items()}
        for growth in plan(self._service, group, partitions):
            if growth.refused is not None:
                raise _Unproved(f"{growth.topic} is not grown: {growth.refused}", blame=False)
            after = cluster.grow(growth.topic, growth.after)
            self._step(
                "partitions-grown",
                f"{growth.topic}: {growth.before} -> {after}: {growth.reason}",
                instance,
                numbers={"topic": growth.topic, "before": growth.before, "after": after},
            )
        if self._means.clock.now() > deadline:
            raise _Unproved("the proof deadline passed while partitions were grown", blame=False)

    def _advance(self, cluster: Cluster, deadline: float, instance: Instance) -> None:
        service, means = self._service, self._means
        next_look = means.clock.now() + IDLE_LOOK_S
        while True:
            at = means.reports.progressed_at(instance)
            if at is not None:
                self._step("first-message", "has finished a message", instance, at=at)
                return
            now = means.clock.now()
            if now >= next_look or now > deadline:
                next_look = now + IDLE_LOOK_S
                waiting = _lag(cluster, service, now)
                if waiting == 0:
                    self._step("first-message", "no message is waiting: nothing to finish yet", instance)
                    return
                if now > deadline:
                    what = "the broker does not answer" if waiting is None else f"{waiting} wait"
                    raise _Unproved(
                        f"owns a partition but finished no message within {means.proof_deadline_s:g} s; {what}",
                        blame=waiting is not None,
                    )
            if means.clock.wait(means.stop, LOOK_S):
                raise _Unproved("had not finished a message before the master was told to stop", blame=False)

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


def _stable(group: Group) -> Iterable[Member]:
    return group.members if group.stable else ()


def _lag(cluster: Cluster, service: Service, now: float) -> int | None:
    try:
        return cluster.look(now, [service.source_topic], [service.group_id]).lag(service.group_id, service.source_topic)
    except (BrokerUnreachable, KafkaError):
        return None


def _words(host: HostOutcome) -> str:
    if host.verdict == "unreachable":
        return f"SSH does not get through: {host.reason}"
    return f"task '{host.task}' failed: {host.reason}" if host.task else host.reason
