"""A scale-in is one transaction: drain instances in one Ansible run, then see that they are gone.

draining -> the playbook stops the unit (stop fetching, finish, commit, leave) -> member gone -> drained
"""

from __future__ import annotations

from collections.abc import Collection

from kafka.errors import KafkaError

from orchestrator.act.course import Course
from orchestrator.act.evict import evict
from orchestrator.act.means import Means
from orchestrator.act.proof import LOOK_S
from orchestrator.act.run import drain
from orchestrator.core.fleet import Group
from orchestrator.core.instance import Instance
from orchestrator.core.service import Service
from orchestrator.errors import BrokerUnreachable


def still_members(instances: Collection[Instance], group: Group) -> list[Instance]:
    """Those of the instances that the group lists; an unstable group lists everybody."""
    listed = {member.client_id for member in group.members}
    return [instance for instance in instances if not group.stable or str(instance) in listed]


class ScaleIn:
    """Stops instances of a service in order."""

    def __init__(self, service: Service, decided_at: float, means: Means) -> None:
        """Prepare; times are counted from ``decided_at``."""
        self._service = service
        self._means = means
        self._course = Course(service.name, decided_at, means)

    def run(self, instances: Collection[Instance], why: str) -> tuple[Instance, ...]:
        """Drain the instances; returns those that are proved to be gone.

        Args:
            instances: all of this service, at least one.
            why: why these, in words.
        """
        means, course = self._means, self._course
        course.begin(instances, "is being drained")
        try:
            for instance in instances:
                course.tell("draining", why, instance)
            outcome = means.actuator.run(drain(instances, means.inventory), means.stop)
            stopped = []
            for instance in instances:
                host = outcome.of(instance.device)
                if host.verdict == "ok":
                    stopped.append(instance)
                else:
                    course.tell("drain-failed", f"not stopped: {host.words}", instance)
            away = [i for i in instances if outcome.of(i.device).verdict == "unreachable"]
            if away:
                evict(self._service, away, "its device does not answer and it is to stop", means, course)
            return self._gone(stopped)
        finally:
            course.end()

    def _gone(self, stopped: Collection[Instance]) -> tuple[Instance, ...]:
        means, group_id = self._means, self._service.group_id
        deadline, left, gone, away = means.clock.now() + means.proof_deadline_s, list(stopped), list[Instance](), ""
        cluster = means.open_cluster()
        try:
            while left:
                try:
                    here, away = still_members(left, cluster.groups([group_id])[group_id]), ""
                except (BrokerUnreachable, KafkaError) as error:
                    here, away = left, f" ({error})"
                for instance in [i for i in left if i not in here]:
                    numbers = self._course.parts(instance)
                    words = f"left {group_id}; unit {instance.unit} is inactive"
                    self._course.tell("drained", words, instance, numbers=numbers)
                    gone.append(instance)
                left = list(here)
                if not left:
                    break
                over = means.clock.now() > deadline
                if over or means.clock.wait(means.stop, LOOK_S):
                    when = f"after {means.proof_deadline_s:g} s" if over else "when the master was told to stop"
                    for instance in left:
                        words = f"unit {instance.unit} is inactive, but {group_id} still listed it {when}{away}"
                        self._course.tell("drain-failed", words, instance)
                    break
        finally:
            cluster.close()
        return tuple(gone)
