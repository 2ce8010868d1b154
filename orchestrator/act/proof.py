"""The proof that a started instance works: member of its group, owner of a partition, advancing.

Partitions are grown only for an instance that is a member already: growth cannot be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from kafka.errors import KafkaError

from orchestrator.act.means import Means
from orchestrator.act.step import StepName
from orchestrator.broker.cluster import Cluster
from orchestrator.core.fleet import Group, Member
from orchestrator.core.growth import plan
from orchestrator.core.instance import Instance
from orchestrator.core.service import Service
from orchestrator.errors import BrokerUnreachable

#: How often the group is asked while something is waited for.
LOOK_S = 0.2
#: How often it is asked whether any message is waiting at all.
IDLE_LOOK_S = 2.0


class Unproved(Exception):  # noqa: N818 - it reads as what happened
    """The instance did not get as far as it should.

    ``blame`` says whether its device is suspect; ``unknown`` that the broker was away, so that nothing is known.
    """

    def __init__(self, reason: str, *, blame: bool = False, unknown: bool = False) -> None:
        super().__init__(reason)
        self.blame = blame
        self.unknown = unknown


class Tell(Protocol):
    """Tells a step of the transaction."""

    def __call__(  # noqa: D102 - the class says it
        self,
        name: StepName,
        detail: str,
        instance: Instance,
        *,
        at: float | None = None,
        numbers: Mapping[str, float | int | str | None] | None = None,
    ) -> None: ...


class Proof:
    """Proves one instance, whose process is alive."""

    def __init__(self, service: Service, instance: Instance, means: Means, tell: Tell) -> None:
        self._service = service
        self._instance = instance
        self._means = means
        self._step = tell

    def run(self) -> None:
        """Wait for every stage; each is told as a step.

        Raises:
            Unproved: a stage was not reached before the deadline, or the master is stopping.
        """
        means, service, topic, instance = self._means, self._service, self._service.source_topic, self._instance
        deadline = means.clock.now() + means.proof_deadline_s
        cluster = means.open_cluster()
        try:
            self._wait(cluster, deadline, f"did not join group {service.group_id}", lambda _: True)
            self._step("member", f"joined {service.group_id}", instance)
            self._grow(cluster, deadline)
            self._wait(
                cluster,
                deadline,
                f"was given no partition of {topic}",
                lambda member: bool(member.partitions.get(topic)),
                blame=False,
            )
            self._step("partition-owned", f"owns a partition of {topic}", instance)
            self._advance(cluster, deadline)
        finally:
            cluster.close()

    def _wait(
        self,
        cluster: Cluster,
        deadline: float,
        failure: str,
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
            if any(member.client_id == str(self._instance) and condition(member) for member in members):
                return
            if self._means.clock.now() > deadline:
                reason = f"{failure} within {self._means.proof_deadline_s:g} s{away}"
                raise Unproved(reason, blame=blame, unknown=bool(away))
            if self._means.clock.wait(self._means.stop, LOOK_S):
                raise Unproved(f"{failure} before the master was told to stop")

    def _grow(self, cluster: Cluster, deadline: float) -> None:
        while True:
            try:
                return self._grow_now(cluster)
            except (BrokerUnreachable, KafkaError) as error:
                if self._means.clock.now() > deadline:
                    raise Unproved(f"partitions could not be grown: {error}", unknown=True) from error
            if self._means.clock.wait(self._means.stop, LOOK_S):
                raise Unproved("partitions were not grown before the master was told to stop")

    def _grow_now(self, cluster: Cluster) -> None:
        group = cluster.groups([self._service.group_id])[self._service.group_id]
        topics = {topic for member in group.members for topic in member.topics}
        partitions = {topic: len(ids) for topic, ids in cluster.partitions(topics).items()}
        for growth in plan(self._service, group, partitions):
            if growth.refused is not None:
                raise Unproved(f"{growth.topic} is not grown: {growth.refused}")
            after = cluster.grow(growth.topic, growth.after)
            self._step(
                "partitions-grown",
                f"{growth.topic}: {growth.before} -> {after}: {growth.reason}",
                self._instance,
                numbers={"topic": growth.topic, "before": growth.before, "after": after},
            )

    def _advance(self, cluster: Cluster, deadline: float) -> None:
        service, means, instance = self._service, self._means, self._instance
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
                    raise Unproved(
                        f"owns a partition but finished no message within {means.proof_deadline_s:g} s; {what}",
                        blame=True,
                        unknown=waiting is None,
                    )
            if means.clock.wait(means.stop, LOOK_S):
                raise Unproved("had not finished a message before the master was told to stop")


def _stable(group: Group) -> Iterable[Member]:
    return group.members if group.stable else ()


def _lag(cluster: Cluster, service: Service, now: float) -> int | None:
    try:
        return cluster.look(now, [service.source_topic], [service.group_id]).lag(service.group_id, service.source_topic)
    except (BrokerUnreachable, KafkaError):
        return None
