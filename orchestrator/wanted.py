"""Which releases of a service may start by themselves, as the playbooks publish it and instances read it.

A device that was off during an upgrade must not consume with its old release when it comes back: each start that no
deployment orders asks the topic ``OBSERVER_TOPIC-releases`` first (``fogverse.wanted`` describes the record).
``python -m orchestrator.wanted`` reads one request as JSON from its standard input, since it may hold passwords::

    {"kafka": {...}, "netns": null, "observer_topic": "observer", "artifacts": {"analyzer": "path"}, "only": false}

Without ``only`` the release of each artifact is added to those that may start, if any are named: an upgrade has begun.
With ``only`` it is the only one from now on: the upgrade is complete.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from orchestrator import artifact, netns
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.tail import tail
from orchestrator.broker.topics import STATE_CONFIGS
from orchestrator.errors import BrokerUnreachable, InventoryInvalid, OrchestratorError
from orchestrator.inventory.kafka import check_kafka
from orchestrator.project import PROJECT

Releases = tuple[str, ...]

#: Releases of one service that are kept beside each other; in an upgrade there are two.
MOST_RELEASES = 16
#: How long the broker may take to acknowledge.
_ACKNOWLEDGED_S = 10.0
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def releases_topic(observer_topic: str) -> str:
    """Name of the topic beside the observer topic, as instances know it."""
    return f"{observer_topic}-releases"


def read(options: Mapping[str, Any], observer_topic: str) -> dict[str, Releases]:
    """The releases that may start by themselves, newest first, by service; absent is of what nothing is said.

    As instances read it: the last record of a service counts, and one that makes no sense, or is empty, says nothing.

    Raises:
        BrokerUnreachable: no broker answered.
    """
    found: dict[str, Releases] = {}
    for record in tail(options, releases_topic(observer_topic), most=sys.maxsize):
        service, names = (record.key or b"").decode(errors="replace"), _named(record.value)
        found.pop(service, None)
        if names:
            found[service] = names
    return found


def _named(value: bytes | None) -> Releases:
    """Releases that a record names; none of one that instances would not heed."""
    try:
        names = json.loads(value or b"{}")["releases"]
    except (ValueError, KeyError, TypeError):
        return ()
    sound = isinstance(names, list) and len(names) <= MOST_RELEASES
    return tuple(names) if sound and all(isinstance(name, str) and _NAME.fullmatch(name) for name in names) else ()


def after(before: Releases, release: str, *, only: bool) -> Releases:
    """What may start once ``release`` is wanted: it alone, or before all others that may already.

    Where nothing is said yet every release may start, and what devices have is not known here: to name only the new one
    would hold all of them back in the middle of an upgrade, and a rollback too. So nothing is said then.
    """
    if only:
        return (release,)
    return (release, *(name for name in before if name != release))[:MOST_RELEASES] if before else ()


def publish(
    options: Mapping[str, Any], observer_topic: str, releases: Mapping[str, str], *, only: bool
) -> dict[str, Releases]:
    """Say that these releases are wanted; what is said already is not said again.

    Args:
        options: kafka-python's connection options.
        observer_topic: the topic of reports; the name of the topic of releases follows from it.
        releases: the wanted one by service.
        only: no other release may start by itself from now on.

    Returns:
        By service what was changed.

    Raises:
        BrokerUnreachable: the broker did not answer, or did not take it.
    """
    topic, cluster = releases_topic(observer_topic), Cluster(options)
    try:
        cluster.create(topic, 1, STATE_CONFIGS)
    finally:
        cluster.close()
    known = read(options, observer_topic)
    wanted = {service: after(known.get(service, ()), release, only=only) for service, release in releases.items()}
    changed = {service: names for service, names in wanted.items() if known.get(service, ()) != names}
    if not changed:
        return {}
    producer = KafkaProducer(**options, client_id="fogverse-orchestrator-wanted", acks="all", max_block_ms=5_000)
    try:
        by = f"{os.environ.get('USER', 'root')}@{socket.gethostname()}"
        sent = []
        for service, names in changed.items():
            value = json.dumps({"service": service, "releases": names, "at": time.time(), "by": by})
            sent.append(producer.send(topic, value.encode(), service.encode(), partition=0))
        for future in sent:
            future.get(timeout=_ACKNOWLEDGED_S)
    except (KafkaError, OSError) as error:
        raise BrokerUnreachable(f"{topic} cannot be written ({type(error).__name__}: {error})") from error
    finally:
        producer.close(timeout=1)
    return changed


def main() -> int:
    """Carry out the request on standard input; prints what was changed, exit code and words as everywhere."""
    request = json.load(sys.stdin)
    try:
        kafka, wrong = check_kafka(request["kafka"], PROJECT)
        if kafka is None or wrong:
            raise InventoryInvalid(tuple(finding.problem() for finding in wrong))
        releases = {
            service: artifact.checksum(PROJECT / Path(path).expanduser())
            for service, path in request["artifacts"].items()
        }
        if request["netns"]:
            netns.enter(request["netns"])
        changed = publish(kafka.client_options(), request["observer_topic"], releases, only=request["only"])
    except OrchestratorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except (KafkaError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return BrokerUnreachable.exit_code
    for service, names in changed.items():
        print(f"changed {service}: {', '.join(names)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
