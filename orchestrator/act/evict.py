"""Taking members whose device is gone out of their group, so that others go on with their partitions at once."""

from __future__ import annotations

from collections.abc import Collection

from kafka.errors import KafkaError

from orchestrator.act.course import Course
from orchestrator.act.means import Means
from orchestrator.core.instance import Instance
from orchestrator.core.service import Service
from orchestrator.errors import BrokerUnreachable, NotLeading

#: What it means, in the words of every log and command.
MEANING = (
    "what it had in hand and not committed is processed again elsewhere; if it still runs, cut off, its commits are "
    "refused and it joins again by itself when it can, since its unit is enabled"
)


def evict(service: Service, instances: Collection[Instance], why: str, means: Means, course: Course) -> None:
    """End the memberships of instances that cannot be asked to leave; who is no member is left out.

    A group that the broker does not let us change goes on by itself when the session of the member is over.
    """
    cluster = means.open_cluster()
    try:
        gone = cluster.evict(service.group_id, [str(instance) for instance in instances], why)
    except (BrokerUnreachable, KafkaError, NotLeading) as error:
        for instance in instances:
            course.tell("drain-failed", f"still counts as a member until its session is over: {error}", instance)
        return
    finally:
        cluster.close()
    for instance in instances:
        if str(instance) in gone:
            course.tell("evicted", f"was taken out of {service.group_id}: {why}; {MEANING}", instance)
