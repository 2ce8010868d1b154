"""The proof that started instances work: members of their group, owners of a partition, advancing.

It begins while Ansible still waits for the devices. Partitions are grown only for instances that their group's
coordinator has let in, since growth cannot be undone, and once for a batch: when that holds for all of it, or
:data:`GATHER_S` after the first one for those for which it does; after that at most once in so long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from kafka.errors import KafkaError

from orchestrator.act.course import Course, Numbers
from orchestrator.act.means import Means
from orchestrator.act.starting import Starting
from orchestrator.broker.cluster import Cluster
from orchestrator.core.fleet import Group
from orchestrator.core.growth import Growth, expected, plan
from orchestrator.core.instance import Instance
from orchestrator.core.service import Service
from orchestrator.errors import BrokerUnreachable

#: How often the group is asked while something is waited for.
LOOK_S = 0.1
#: The same while instances are being started: a topic that grows too late by that needs a rebalance of its own.
START_LOOK_S = 0.02
#: How often it is asked whether any message is waiting at all.
IDLE_LOOK_S = 2.0
#: How long members of a batch wait for more of them before partitions are grown.
GATHER_S = 5.0

#: starting: Ansible has not said that it runs, nor has it been seen. joining: the group's coordinator has let it in.
Stage = Literal["starting", "alive", "joining", "member", "owner"]


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


def stage_of(
    instance: Instance, group: Group | None, topic: str, before: Stage, earlier: Collection[str] = ()
) -> Stage:
    """How far an instance is by what its group says; no stage is taken back.

    Args:
        instance: which.
        group: as it was described now; while it is not stable, it only says who is in it or asks to be.
        topic: whose partitions count.
        before: how far it was.
        earlier: ids of members that were there before it was started, and so prove nothing.
    """
    mine = [m for m in group.members if m.client_id == str(instance)] if group is not None else []
    if before == "starting":
        mine = [member for member in mine if member.member_id not in earlier]
    if group is None or before == "owner" or not mine:
        return before
    if not group.stable:
        return "joining" if before in ("starting", "alive") else before
    return "owner" if any(member.partitions.get(topic) for member in mine) else "member"


def unlucky(refused: Collection[Growth], members: Collection[Instance], owners: Collection[Instance]) -> list[Instance]:
    """Members of the batch that stay without a partition, since a topic is not grown for them."""
    return sorted(set(members) - set(owners)) if refused else []


class Proof:
    """Proves a batch of instances: from when they are being started, or from when their processes are alive."""

    def __init__(
        self,
        service: Service,
        instances: Collection[Instance],
        means: Means,
        course: Course,
        planned: int = 0,
        fail: Callable[[Instance, Unproved], None] = lambda _instance, _failure: None,
    ) -> None:
        """Prepare.

        Args:
            service: whose.
            instances: all of it.
            means: what to work with.
            course: is told how far each instance is.
            planned: instances that are wanted in all, so that topics are grown once for all of them; 0 for no plan.
            fail: is told each instance that is not proved, and why, as soon as that is known.
        """
        self._service = service
        self._planned = planned
        self._means = means
        self._course = course
        self._stages: dict[Instance, Stage] = dict.fromkeys(instances, "alive")
        self._until: dict[Instance, float] = {}
        self._failed: dict[Instance, Unproved] = {}
        self._tell = fail
        self._confirmed: set[Instance] = set(instances)
        self._earlier: frozenset[str] | None = None
        self._settled: Group | None = None
        self._joined_at: float | None = None
        self._idle_look = means.clock.now() + IDLE_LOOK_S
        self._away = ""

    def run(self, starting: Starting | None = None) -> dict[Instance, Unproved]:
        """Wait for every stage of every instance; each is told as a step.

        Args:
            starting: Ansible's run that starts them; None when they are alive.

        Returns:
            The instances that did not get there before the deadline, which counts from when each was started, or before
            the master was told to stop; those that Ansible could not start are not among them.

        Raises:
            NotLeading: another master leads, so that nothing was started.
        """
        means, cluster = self._means, self._means.open_cluster()
        if starting is not None:
            self._stages = dict.fromkeys(self._stages, "starting")
            self._confirmed = set()
        self._until = dict.fromkeys(self._confirmed, means.clock.now() + means.proof_deadline_s)
        try:
            while True:
                awaited = starting is not None and self._hear(starting)
                if not self._stages and not awaited:
                    break
                if starting is None or starting.acting or self._earlier is None:
                    self._look(cluster)
                now = means.clock.now()
                overdue = [instance for instance in self._stages if now > self._until.get(instance, now)]
                self._give_up(overdue, f"within {means.proof_deadline_s:g} s{self._away}", unknown=bool(self._away))
                if awaited and starting is not None:
                    means.clock.wait(starting.news, START_LOOK_S)
                elif self._stages:
                    means.clock.wait(means.stop, LOOK_S)
                if means.stop.is_set():
                    left = [instance for instance in self._stages if instance in self._confirmed]
                    self._give_up(left, "before the master was told to stop", unknown=True)
                    break
        finally:
            cluster.close()
        return self._failed

    def _hear(self, starting: Starting) -> bool:
        """Take in what became of starts meanwhile; whether some are still under way."""
        until = self._means.clock.now() + self._means.proof_deadline_s
        for instance in starting.take():
            self._confirmed.add(instance)
            self._until[instance] = until
            if self._stages.get(instance) == "starting":
                self._stages[instance] = "alive"
        for instance in starting.failed:
            self._stages.pop(instance, None)
        return bool(starting.awaited)

    def _look(self, cluster: Cluster) -> None:
        service, now = self._service, self._means.clock.now()
        try:
            group = cluster.groups([service.group_id])[service.group_id]
            if self._earlier is None:
                self._earlier = frozenset(member.member_id for member in group.members)
            if group.stable:
                self._settled = group
            for instance, before in list(self._stages.items()):
                self._enter(instance, before, stage_of(instance, group, service.source_topic, before, self._earlier))
            self._grow(cluster, group, now)
            for instance in [i for i, stage in self._stages.items() if stage == "owner"]:
                if "partition-owned" not in self._course.parts(instance):
                    self._course.tell("partition-owned", f"owns a partition of {service.source_topic}", instance)
            self._finish(cluster, now)
            self._away = ""
        except (BrokerUnreachable, KafkaError) as error:
            self._away = f" ({error})"

    def _enter(self, instance: Instance, before: Stage, stage: Stage) -> None:
        self._stages[instance] = stage
        if before == "starting" and stage != "starting":
            words = f"it asks to join {self._service.group_id}"
            self._course.tell("process-alive", words, instance)
        if before in ("starting", "alive") and stage not in ("starting", "alive"):
            self._joined_at = self._means.clock.now() if self._joined_at is None else self._joined_at
        if stage in ("member", "owner") and before not in ("member", "owner"):
            self._course.tell("member", f"joined {self._service.group_id}", instance)

    def _grow(self, cluster: Cluster, group: Group, now: float) -> None:
        members = [instance for instance, stage in self._stages.items() if stage in ("joining", "member")]
        waiting = any(stage in ("starting", "alive") for stage in self._stages.values())
        if not members or (waiting and (self._joined_at is None or now - self._joined_at < GATHER_S)):
            return
        unsettled = not group.stable
        if unsettled:
            if self._settled is None or "joining" not in self._stages.values():
                return
            group = expected(self._settled, group, members, self._service.source_topic)
        topics = {topic for member in group.members for topic in member.topics}
        partitions = {topic: len(ids) for topic, ids in cluster.partitions(topics).items()}
        growths = plan(self._service, group, partitions, self._planned)
        for growth in growths:
            if growth.refused is None:
                after = cluster.grow(growth.topic, growth.after)
                words = f"{growth.topic}: {growth.before} -> {after}: {growth.reason}"
                numbers: Numbers = {"topic": growth.topic, "before": growth.before, "after": after}
                self._course.tell("partitions-grown", words, numbers=numbers, of=members)
                self._joined_at = now
        refused = [growth for growth in growths if growth.refused is not None and not unsettled]
        owners = [instance for instance, stage in self._stages.items() if stage == "owner"]
        for instance in unlucky(refused, members, owners):
            self._fail(instance, Unproved("; ".join(f"{g.topic} is not grown: {g.refused}" for g in refused)))

    def _finish(self, cluster: Cluster, now: float) -> None:
        owners = [instance for instance, stage in self._stages.items() if stage == "owner"]
        for instance in owners:
            at = self._means.reports.progressed_at(instance)
            if at is not None and "first-message" not in self._course.parts(instance):
                self._course.tell("first-message", "has finished a message", instance, at=at)
            if at is not None and instance in self._confirmed:
                self._prove(instance)
        if now < self._idle_look:
            return
        self._idle_look = now + IDLE_LOOK_S
        service = self._service
        look = cluster.look(now, [service.source_topic], [service.group_id])
        if look.lag(service.group_id, service.source_topic) == 0:
            for instance in [i for i in owners if i in self._stages and i in self._confirmed]:
                self._course.tell("first-message", "no message is waiting: nothing to finish yet", instance)
                self._prove(instance)

    def _prove(self, instance: Instance) -> None:
        del self._stages[instance]
        numbers = self._course.parts(instance)
        self._course.tell("proved", "member, owner of a partition and advancing", instance, numbers=numbers)
        self._means.worked(instance.device)

    def _fail(self, instance: Instance, failure: Unproved) -> None:
        del self._stages[instance]
        self._failed[instance] = failure
        self._tell(instance, failure)

    def _give_up(self, instances: Collection[Instance], when: str, *, unknown: bool) -> None:
        topic = self._service.source_topic
        words = {
            "starting": f"did not join group {self._service.group_id}",
            "alive": f"did not join group {self._service.group_id}",
            "joining": f"did not become a member of {self._service.group_id}",
            "member": f"was given no partition of {topic}",
            "owner": f"owns a partition of {topic} but finished no message, though some wait,",
        }
        for instance in instances:
            stage = self._stages[instance]
            # a member without a partition is its group's affair, not its device's
            blame = stage not in ("joining", "member") and not unknown
            self._fail(instance, Unproved(f"{words[stage]} {when}", blame=blame, unknown=unknown))
