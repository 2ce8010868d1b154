"""Twenty power cuts at random moments: nothing is lost, little is repeated, no key is mixed up."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from fogverse import ExitCode
from lab.broker import LocalBroker
from tests.integration.proofs import REPEATED, Proof, in_order, repeated, workers
from tests.integration.test_runtime_broker import until

pytestmark = pytest.mark.broker

KILLS = 20
PARTITIONS = 2
KEYS = 10
#: Mean milliseconds of a call: long enough that work is under way at each kill, by order two or four at once.
MEAN_MS = {"none": "6", "key": "6", "partition": "3"}
MESSAGES = {"none": 16_000, "key": 16_000, "partition": 12_000}


@pytest.mark.parametrize("ordering", ["none", "key", "partition"])
def test_killed_twenty_times_it_loses_nothing_repeats_little_and_keeps_the_order(
    broker: LocalBroker, tmp_path: Path, ordering: str
) -> None:
    """Power cuts are a device's daily life, and with several workers more is under way at each."""
    proof = Proof(broker, tmp_path)
    proof.create_partitions(PARTITIONS)
    total = MESSAGES[ordering]
    names = proof.put_keyed(total, KEYS, PARTITIONS)
    seed = time.time_ns()
    print(f"seed {seed}")  # shown when it fails
    chance = random.Random(seed)  # noqa: S311 -- picks moments
    settings = workers(ordering, STAGE_MEAN_MS=MEAN_MS[ordering])
    for kill in range(KILLS):
        with proof.running("signed", **settings, **proof.life()) as instance:
            instance.says("first message finished")
            time.sleep(chance.uniform(0.3, 1.5))  # the random moment
            instance.process.kill()
            assert instance.ends() == -signal.SIGKILL
        proof.evict_members()
        assert sum(proof.committed(PARTITIONS)) < total, f"nothing was under way at kill {kill + 1}: more messages"
    with proof.running("signed", **settings, **proof.life()) as instance:
        until(lambda: sum(proof.committed(PARTITIONS)) == total, within_s=60)
        assert instance.stop() == ExitCode.OK
    outputs = proof.signed()
    assert {output.name for output in outputs} == names
    again = repeated(outputs)
    print(f"{ordering}: repeated after each kill {[again[life] for life in range(KILLS)]}, at most {REPEATED}")
    assert max(again.values()) <= REPEATED
    if ordering != "none":
        in_order(outputs)
