"""Records, brokers and callables that misbehave while several workers are at it."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from fogverse import ExitCode
from lab.broker import LocalBroker
from tests.integration.proofs import Load, Proof, in_order, workers
from tests.integration.test_runtime_broker import until

pytestmark = pytest.mark.broker

#: Seconds a member may go without polling: less than the slow record takes, so that only a loop that polls survives.
POLL_S = 11
STAGES = f"""
import resource

import fogverse.engine

def minute(message):
    time.sleep(60 if message.value == b"slow-0" else 0.01)
    return message.value

configured = fogverse.engine.consumer_config
fogverse.engine.consumer_config = lambda settings: configured(settings) | {{"max.poll.interval.ms": {POLL_S * 1000}}}

leaked = []

def leaks(message):
    "Keeps 2 MB for each message, and is refused more than 400 MB above what it begins with."
    if not leaked:
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000,) * 2)
    leaked.append(bytearray(2_000_000))
    return signed(message)
"""


@pytest.fixture
def proof(broker: LocalBroker, tmp_path: Path) -> Proof:
    made = Proof(broker, tmp_path)
    with (tmp_path / "stages.py").open("a") as stages:
        stages.write(STAGES)
    return made


def test_a_record_that_takes_a_minute_evicts_nobody_holds_up_its_own_key_only_and_is_named(proof: Proof) -> None:
    """Else it is processed again and again for ever, each time by a member that is then taken for dead."""
    proof.create_partitions(2)
    slow = f"{proof.source}[0]@0"
    proof.put(["slow-0"], partition=0)
    proof.put((f"waits{n}-0" for n in range(400)), partition=0)
    load = Load(proof.producer(), proof.source, per_s=50, keys=20, only=1)
    settings = workers("key", FOGVERSE_MESSAGE_TIMEOUT_S="5")
    with proof.running("minute", **settings) as instance:
        instance.says("first message finished")
        with load.going():
            began, reached = time.monotonic(), 0
            while time.monotonic() - began < 50:
                # Partition 0 is full behind the slow one and is paused; the other goes on meanwhile.
                until(lambda least=reached: proof.committed(2)[1] > least, within_s=5)  # type: ignore[misc]
                reached = proof.committed(2)[1]
                assert proof.committed(2)[0] < 1
                time.sleep(1)
        until(lambda: proof.committed(2) == [401, len(load.names)], within_s=30)
        instance.says(f"stuck: the callable has been working on {slow}")
        assert not [line for line in instance.log if "lost" in line or "revoked" in line]
        assert instance.stop() == ExitCode.OK
    assert set(proof.out().values()) == {1}
    named = [report["stuck"] for report in proof.reports()]
    assert named.count([slow]) > 3 * POLL_S, "not in every report while it lasted"
    assert named[-1] == []


@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_a_broker_that_goes_down_and_comes_back_costs_no_message_and_no_order(
    proof: Proof, broker: LocalBroker, how: str
) -> None:
    """Else each maintenance or crash of the broker would need somebody to look after every device."""
    proof.create_partitions(2)
    names = proof.put_keyed(6000, keys=20, partitions=2)
    with proof.running("signed", **workers("key"), **proof.life()) as instance:
        until(lambda: sum(proof.committed(2)) > 500)
        broker.down() if how == "restarted" else broker.kill()
        broker.up()
        until(lambda: sum(proof.committed(2)) == 6000, within_s=60)
        assert instance.stop() == ExitCode.OK
    outputs = proof.signed()
    assert Counter(output.name for output in outputs) == dict.fromkeys(names, 1)
    in_order(outputs)


def test_a_callable_that_leaks_is_seen_in_the_reports_and_loses_nothing_when_it_is_stopped(proof: Proof) -> None:
    """Else nobody sees it coming, and what was in work when memory ran out is gone.

    The limit is the process's own here; a unit's ``MemoryMax=`` kills instead, which is the test of kills.
    """
    proof.create_partitions(1)
    names = proof.put_keyed(500)
    ends = []
    while not proof.done([500]):
        assert len(ends) < 10, f"it does not get on: {ends}"
        with proof.running("leaks", **workers("key"), **proof.life()) as instance:
            until(lambda: instance.process.poll() is not None or proof.done([500]))
            ends.append(instance.stop() if instance.process.poll() is None else instance.ends())
        if ends[-1] < 0:  # librdkafka ends the process when it gets no memory, so that nobody has left the group
            proof.evict_members()
    print(f"exit codes {ends}")
    assert len(ends) > 1, "the limit was never reached"
    assert set(ends[:-1]) <= {ExitCode.CALLABLE_FAILED, -signal.SIGABRT}
    outputs = proof.signed()
    assert {output.name for output in outputs} == names
    in_order(outputs)
    resident = [report["rss_mb"] for report in proof.reports()]
    assert max(resident) > min(resident) + 200
