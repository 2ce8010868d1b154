"""A topic that grows from one partition to eight under load: nothing is lost, and nothing of the new ones skipped."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from fogverse import ExitCode
from lab.broker import LocalBroker
from tests.integration.proofs import Load, Proof, workers
from tests.integration.test_runtime_broker import until

pytestmark = pytest.mark.broker

MEMBERS = 3
NOTICED_S = 5


def test_a_topic_that_grows_from_one_to_eight_under_load_loses_nothing(broker: LocalBroker, tmp_path: Path) -> None:
    """Dynamic partition: messages are in the new partitions before any consumer has heard of them.

    The producer is a stage of its own, keyed, and has to notice as well.
    """
    proof = Proof(broker, tmp_path)
    proof.create_all()
    feed = f"{proof.name}.feed"
    proof.create(feed)
    load = Load(proof.producer(), feed, per_s=400, keys=200, partitions=1)
    upstream = {"FOGVERSE_SOURCE_TOPIC": feed, "FOGVERSE_TARGET_TOPIC": proof.source, "FOGVERSE_GROUP_ID": feed}
    grown_ms: dict[int, float] = {}
    with ExitStack() as stack:
        relay = stack.enter_context(proof.running("passes", "pi-0", **upstream))
        members = [
            stack.enter_context(proof.running("signed", f"pi-{n}", **workers("none"), **proof.life()))
            for n in range(1, MEMBERS + 1)
        ]
        with load.going():
            relay.says("first message finished")
            before = 1
            for total in (3, 8):
                proof.grow(proof.source, total)
                grown_ms |= dict.fromkeys(range(before, total), time.time() * 1000)
                until(lambda expected=total: sum(proof.owned().values()) == expected, within_s=NOTICED_S)  # type: ignore[misc]
                before = total
            time.sleep(NOTICED_S)  # for the producer: nothing tells what it has noticed but its messages
        until(lambda: proof.done(proof.ends(8)) and len(proof.records(proof.source)) == len(load.names), within_s=30)
        assert [instance.stop() for instance in (relay, *members)] == [ExitCode.OK] * (MEMBERS + 1)
    put = proof.records(proof.source)
    first_ms: dict[int, float] = {}
    for record in put:
        first_ms.setdefault(record.partition() or 0, record.timestamp()[1])
    noticed_s = {partition: (first_ms[partition] - at) / 1000 for partition, at in grown_ms.items()}
    print(f"seconds until the producer used a new partition: {noticed_s}")
    assert max(noticed_s.values()) <= NOTICED_S
    places = [f"{record.topic()}[{record.partition()}]@{record.offset()}" for record in put]
    outputs = proof.signed()
    assert Counter(output.place for output in outputs) == Counter(places), "one output for each message, none skipped"
    assert Counter(output.name for output in outputs) == Counter(load.names)
