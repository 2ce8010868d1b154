"""The proof that started instances work: members of their group, owners of a partition, advancing.

Partitions are grown only for instances that are members already, since growth cannot be undone, and once for a batch:
when all of it are members, or :data:`GATHER_S` after the first one for those that are.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from kafka.errors import KafkaError

from orchestrator.act.course import Course, Numbers
from orchestrator.act.means import Means
from orchestrator.broker.cluster import Cluster
from orchestrator.core.fleet import Group
from orchestrator.core.growth import Growth, plan
from orchestrator.core.instance import Instance
from orchestrator.core.service import Service
from orchestrator.errors import BrokerUnreachable

#: How often the group is asked while something is waited for.
LOOK_S = 0.2
#: How often it is asked whether any message is waiting at all.
IDLE_LOOK_S = 2.0
#: How long the first members of a batch wait for the others before partitions are grown.
GATHER_S = 5.0

Stage = Literal["alive", "member", "owner"]


@dataclass(frozen=True, slots=True)
class Unproved:
    """An instance did not get as far as it should.

    Attributes:
        reason: in words.
        blame: whether its device is suspect.
        unknown: the broker was away, so that nothing is known.
    """

    reason: str
    blame: bool = False
    unknown: bool = False


def stage_of(instance: Instance, group: Group | None, topic: str, before: Stage) -> Stage:
    """How far an instance is by what its group says; an unstable group says nothing, and no stage is taken back."""
    if group is None or not group.stable:
        return before
    mine = [member for member in group.members if member.client_id == str(instance)]
    if before == "owner" or any(member.partitions.get(topic) for member in mine):
        return "owner"
    return "member" if mine else before


def unlucky(refused: Collection[Growth], members: Collection[Instance], owners: Collection[Instance]) -> list[Instance]:
    """Members of the batch that stay without a partition, since a topic is not grown for them."""
    return sorted(set(members) - set(owners)) if refused else []


class Proof:
    """Proves a batch of instances, whose processes are alive."""

    def __init__(
        self, service: Service, instances: Collection[Instance], means: Means, course: Course, planned: int = 0
    ) -> None:
        """Prepare; ``planned`` instances are wanted in all, so that topics are grown once for all of them."""
        self._service = service
        self._planned = planned
        self._means = means
        self._course = course
        self._stages: dict[Instance, Stage] = dict.fromkeys(instances, "alive")
        self._failed: dict[Instance, Unproved] = {}
        self._joined_at: float | None = None
        self._idle_look = means.clock.now() + IDLE_LOOK_S
        self._away = ""

    def run(self) -> dict[Instance, Unproved]:
        """Wait for every stage of every instance; each is told as a step.

        Returns:
            The instances that did not get there before the deadline, or before the master was told to stop.
        """
        means = self._means
        deadline = means.clock.now() + means.proof_deadline_s
        cluster = means.open_cluster()
        try:
            while self._stages:
                self._look(cluster)
                if self._stages and means.clock.now() > deadline:
                    self._give_up(f"within {means.proof_deadline_s:g} s{self._away}", unknown=bool(self._away))
                elif self._stages and means.clock.wait(means.stop, LOOK_S):
                    self._give_up("before the master was told to stop", unknown=True)
        finally:
            cluster.close()
        return self._failed

    def _look(self, cluster: Cluster) -> None:
        service, topic, now = self._service, self._service.source_topic, self._means.clock.now()
        try:
            group = cluster.groups([service.group_id])[service.group_id]
            for instance, before in list(self._stages.items()):
                stage = stage_of(instance, group, topic, before)
                if before == "alive" and stage != "alive":
                    self._joined_at = self._joined_at or now
                    self._course.tell("member", f"joined {service.group_id}", instance)
                self._stages[instance] = stage
            self._grow(cluster, group, now)
            for instance in [i for i, stage in self._stages.items() if stage == "owner"]:
                if "partition-owned" not in self._course.parts(instance):
                    self._course.tell("partition-owned", f"owns a partition of {topic}", instance)
            self._finish(cluster, now)
            self._away = ""
        except (BrokerUnreachable, KafkaError) as error:
            self._away = f" ({error})"

    def _grow(self, cluster: Cluster, group: Group, now: float) -> None:
        members = [instance for instance, stage in self._stages.items() if stage == "member"]
        gathered = "alive" not in self._stages.values() or now - (self._joined_at or now) >= GATHER_S
        if not members or not gathered or not group.stable:
            return
        topics = {topic for member in group.members for topic in member.topics}
        partitions = {topic: len(ids) for topic, ids in cluster.partitions(topics).items()}
        growths = plan(self._service, group, partitions, self._planned)
        for growth in growths:
            if growth.refused is None:
                after = cluster.grow(growth.topic, growth.after)
                words = f"{growth.topic}: {growth.before} -> {after}: {growth.reason}"
                numbers: Numbers = {"topic": growth.topic, "before": growth.before, "after": after}
                self._course.tell("partitions-grown", words, numbers=numbers, of=members)
        refused = [growth for growth in growths if growth.refused is not None]
        owners = [instance for instance, stage in self._stages.items() if stage == "owner"]
        for instance in unlucky(refused, members, owners):
            self._fail(instance, Unproved("; ".join(f"{g.topic} is not grown: {g.refused}" for g in refused)))

    def _finish(self, cluster: Cluster, now: float) -> None:
        owners = [instance for instance, stage in self._stages.items() if stage == "owner"]
        for instance in owners:
            at = self._means.reports.progressed_at(instance)
            if at is not None:
                self._prove(instance, "has finished a message", at)
        if now < self._idle_look:
            return
        self._idle_look = now + IDLE_LOOK_S
        service = self._service
        look = cluster.look(now, [service.source_topic], [service.group_id])
        if look.lag(service.group_id, service.source_topic) == 0:
            for instance in [i for i in owners if i in self._stages]:
                self._prove(instance, "no message is waiting: nothing to finish yet", None)

    def _prove(self, instance: Instance, words: str, at: float | None) -> None:
        del self._stages[instance]
        self._course.tell("first-message", words, instance, at=at)
        numbers = self._course.parts(instance)
        self._course.tell("proved", "member, owner of a partition and advancing", instance, numbers=numbers)
        self._means.worked(instance.device)

    def _fail(self, instance: Instance, failure: Unproved) -> None:
        del self._stages[instance]
        self._failed[instance] = failure

    def _give_up(self, when: str, *, unknown: bool) -> None:
        topic = self._service.source_topic
        words = {
            "alive": f"did not join group {self._service.group_id}",
            "member": f"was given no partition of {topic}",
            "owner": f"owns a partition of {topic} but finished no message, though some wait,",
        }
        for instance, stage in list(self._stages.items()):
            # a member without a partition is its group's affair, not its device's
            blame = stage != "member" and not unknown
            self._fail(instance, Unproved(f"{words[stage]} {when}", blame=blame, unknown=unknown))
