"""Several workers in one process against a real broker: killed, slow, joined and left by others."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from fogverse import ExitCode
from lab.broker import LocalBroker
from tests.integration.proofs import Proof, workers
from tests.integration.test_runtime_broker import Instance, Pipeline, until

pytestmark = pytest.mark.broker

MORE_STAGES = """
import asyncio
import random
import time

async def await_a_little(message):
    await asyncio.sleep(0.1)
    return message.value

attempts = {}

def fails_twice(message):
    attempts[message.value] = attempts.get(message.value, 0) + 1
    if message.value.endswith(b"7") and attempts[message.value] < 3:
        raise OSError("not yet")
    return message.value

def fails_on_bad(message):
    if message.value == b"bad":
        raise ValueError("this one")
    return message.value

def jitter(message):
    time.sleep(random.random() * 0.006)
    return message.value
"""


class Keyed(Proof):
    """Messages named KEY-NUMBER, with more stages for them."""

    def __init__(self, broker: LocalBroker, folder: Path) -> None:
        super().__init__(broker, folder)
        with (folder / "stages.py").open("a") as stages:
            stages.write(MORE_STAGES)

    def in_order_of_key(self) -> None:
        """What comes out for the first time comes in the order in which it went in."""
        seen: dict[str, list[int]] = defaultdict(list)
        for record in self.records(self.target):
            key, number = (record.value() or b"").decode().split("-")
            if int(number) not in seen[key]:
                seen[key].append(int(number))
        for key, numbers in seen.items():
            assert numbers == sorted(numbers), f"key {key}"


@pytest.fixture
def pipeline(broker: LocalBroker, tmp_path: Path) -> Keyed:
    return Keyed(broker, tmp_path)


def finished_and_stopped(pipeline: Pipeline, instance: Instance, committed: list[int]) -> None:
    until(lambda: pipeline.committed(len(committed)) == committed, within_s=40)
    assert instance.stop() == ExitCode.OK


def test_members_that_join_and_leave_with_work_in_flight_lose_nothing(pipeline: Keyed) -> None:
    """Each scale-out and each scale-in meets messages that are being worked on."""
    pipeline.create_partitions(4)
    names = pipeline.put_keyed(6000, keys=20, partitions=4)
    with pipeline.running("jitter", **workers("key")) as first:
        first.says("first message finished")
        with pipeline.running("jitter", device="pi-2", **workers("key")) as second:
            second.says("first message finished")
            assert second.stop() == ExitCode.OK
        with pipeline.running("jitter", device="pi-3", **workers("key")) as third:
            third.says("first message finished")
            assert first.stop() == ExitCode.OK
            finished_and_stopped(pipeline, third, [1500] * 4)
    assert Counter(pipeline.out()) == dict.fromkeys(names, 1), "a clean change of hands repeats nothing"
    pipeline.in_order_of_key()


def test_a_coroutine_function_awaits_many_messages_at_once_in_the_order_of_their_keys(pipeline: Keyed) -> None:
    """Else work that only waits for the network would need a thread for each message."""
    pipeline.create_partitions(1)
    names = pipeline.put_keyed(1000, keys=100)
    with pipeline.running("await_a_little", **workers("key", FOGVERSE_WORKERS="100")) as instance:
        instance.says("first message finished")
        began = time.monotonic()
        until(lambda: pipeline.committed() == [1000])
        assert time.monotonic() - began < 10, "100 s of waiting, done one by one"
        assert instance.stop() == ExitCode.OK
    assert Counter(pipeline.out()) == dict.fromkeys(names, 1)
    pipeline.in_order_of_key()


def test_what_fails_for_a_while_is_tried_again_in_the_order_of_its_key(pipeline: Keyed) -> None:
    """Else a database that is away for a second stops a service, or mixes up its messages."""
    pipeline.create_partitions(1)
    names = pipeline.put_keyed(300)
    settings = workers("key", FOGVERSE_RETRIES="2", FOGVERSE_RETRY_DELAY_S="0.02")
    with pipeline.running("fails_twice", **settings) as instance:
        finished_and_stopped(pipeline, instance, [300])
    assert Counter(pipeline.out()) == dict.fromkeys(names, 1)
    pipeline.in_order_of_key()
    assert sum(report["retries"] for report in pipeline.reports()) == 2 * len([n for n in names if n[-1] == "7"])


def test_a_poison_message_goes_to_the_dead_letters_and_delays_no_other_key(pipeline: Keyed) -> None:
    """Else one record that cannot be processed stops a service for good, or is lost without a trace."""
    pipeline.create_partitions(1)
    dead = f"{pipeline.source}.dead"
    pipeline.create(dead)
    pipeline.put(["a", "bad", *(f"m{n}" for n in range(30))])
    settings = workers("key", FOGVERSE_ON_FAILURE="dead_letter", FOGVERSE_RETRIES="2", FOGVERSE_RETRY_DELAY_S="1")
    with pipeline.running("fails_on_bad", **settings) as instance:
        instance.says("try 2 of 3")
        finished_and_stopped(pipeline, instance, [32])
    [letter] = pipeline.records(dead)
    others = pipeline.records(pipeline.target)
    assert len(others) == 31
    assert letter.timestamp()[1] > max(record.timestamp()[1] for record in others), "the others waited for the retries"
    headers = dict(letter.headers() or [])
    assert (letter.key(), letter.value(), headers["trace"]) == (b"key of bad", b"bad", b"bad")
    assert headers["fogverse-reason"] == b"ValueError: this one"
    assert b"fails_on_bad" in (headers["fogverse-traceback"] or b"")
    names = ("source-topic", "source-partition", "source-offset", "attempts")
    assert [headers[f"fogverse-{name}"] for name in names] == [pipeline.source.encode(), b"0", b"1", b"3"]
    totals = Counter[str]()
    for report in pipeline.reports():
        totals.update({name: report[name] for name in ("consumed", "failed", "retries", "dead_letters")})
    assert totals == {"consumed": 31, "failed": 1, "retries": 2, "dead_letters": 1}


def test_without_a_topic_for_it_the_failure_ends_the_run_uncommitted(pipeline: Keyed) -> None:
    """Else a misspelt dead-letter topic would lose what it should keep."""
    pipeline.create_partitions(1)
    pipeline.put(["a", "bad", "b"])
    settings = workers("partition", FOGVERSE_DEAD_LETTER_TOPIC="nowhere", FOGVERSE_RETRIES="0")
    with pipeline.running("fails_on_bad", FOGVERSE_TOPIC_TIMEOUT_S="1", **settings) as instance:
        assert instance.ends() == ExitCode.CALLABLE_FAILED
        instance.says(f"failed on {pipeline.source}[0]@1, and its dead letter cannot be written")
    assert pipeline.committed() == [1]


def test_a_message_that_takes_too_long_is_named(pipeline: Keyed) -> None:
    """Else nobody knows which record keeps a worker for ever."""
    pipeline.create_all()
    pipeline.put(["x"])
    with pipeline.running("nap", FOGVERSE_MESSAGE_TIMEOUT_S="0.5") as instance:
        instance.says(f"working on {pipeline.source}[0]@0")
        instance.says("first message finished")
        assert instance.stop() == ExitCode.OK
    named = [report["stuck"] for report in pipeline.reports()]
    assert [f"{pipeline.source}[0]@0"] in named
    assert named[-1] == []
