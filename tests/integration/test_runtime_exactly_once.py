"""Exactly-once against a real broker: whatever dies, a reader of committed records sees each output once."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from fogverse import ExitCode
from lab.broker import LocalBroker
from tests.integration.test_runtime_broker import until
from tests.integration.test_runtime_parallel import Keyed, workers

pytestmark = pytest.mark.broker

ONCE = {"FOGVERSE_EXACTLY_ONCE": "true"}
STAGES = """
import time

def overtaken(message):
    time.sleep(4 if message.value == b"slow" else 0.001)
    return message.value

def too_large_on_bad(message):
    return [message.value, bytes(2_000_000)] if message.value == b"bad" else message.value
"""


@pytest.fixture
def pipeline(broker: LocalBroker, tmp_path: Path) -> Keyed:
    made = Keyed(broker, tmp_path)
    with (tmp_path / "stages.py").open("a") as stages:
        stages.write(STAGES)
    return made


@pytest.mark.parametrize("settings", [{}, workers("none"), workers("key")], ids=["one", "none", "key"])
def test_every_output_is_there_once_and_committed_with_its_position(pipeline: Keyed, settings: dict[str, str]) -> None:
    """The plain case; and a stop leaves nothing to repeat."""
    pipeline.create_partitions(2)
    names = pipeline.put_keyed(1000, partitions=2)
    with pipeline.running("jitter", **ONCE, **settings) as instance:
        until(lambda: pipeline.committed(2) == [500, 500])
        assert instance.stop() == ExitCode.OK
        assert not [line for line in instance.log if "abort" in line or "ERROR" in line], instance.log
    assert pipeline.out() == dict.fromkeys(names, 1)
    pipeline.in_order_of_key()
    assert sum(report["emitted"] for report in pipeline.reports()) == 1000
    assert pipeline.reports()[-1]["in_flight"] == 0


def test_killed_ten_times_each_output_is_there_once(pipeline: Keyed) -> None:
    """Power cuts in the midst of transactions: the next process of this name ends what was left open."""
    pipeline.create_partitions(2)
    names = pipeline.put_keyed(12_000, partitions=2)
    chance = random.Random(3)  # noqa: S311 -- picks moments
    for _ in range(10):
        with pipeline.running("jitter", **ONCE, **workers("none")) as instance:
            instance.says("first message finished")
            time.sleep(chance.random() * 0.4)  # the random moment
            instance.process.kill()
            assert instance.ends() == -signal.SIGKILL
        pipeline.evict_members()
    assert sum(pipeline.committed(2)) < 12_000, "it was through before the last kill"
    with pipeline.running("jitter", **ONCE, **workers("none")) as instance:
        until(lambda: pipeline.committed(2) == [6000, 6000], within_s=60)
        assert instance.stop() == ExitCode.OK
    assert pipeline.out() == dict.fromkeys(names, 1)


@pytest.mark.parametrize("settings", [{}, ONCE], ids=["at-least-once", "exactly-once"])
def test_a_broker_killed_under_four_workers_costs_nothing(
    pipeline: Keyed, broker: LocalBroker, settings: dict[str, str]
) -> None:
    """Else each crash of the broker would lose records, or break the promise of exactly-once."""
    pipeline.create_partitions(4)
    names = pipeline.put_keyed(8000, partitions=4)
    with pipeline.running("jitter", **settings, **workers("key")) as instance:
        until(lambda: sum(pipeline.committed(4)) > 0)
        broker.kill()
        broker.up()
        until(lambda: pipeline.committed(4) == [2400, 2400, 1600, 1600], within_s=60)
        assert instance.stop() == ExitCode.OK
    out = pipeline.out()
    assert set(out) == names
    if settings:
        assert set(out.values()) == {1}


@pytest.mark.parametrize("settings", [{}, ONCE], ids=["at-least-once", "exactly-once"])
def test_an_outage_longer_than_the_session_is_survived(
    pipeline: Keyed, broker: LocalBroker, settings: dict[str, str]
) -> None:
    """The partitions are lost while they are held, since nothing can be produced, and must not come back held."""
    pipeline.create_partitions(4)
    names = pipeline.put_keyed(8000, partitions=4)
    with pipeline.running("jitter", **settings, **workers("key")) as instance:
        until(lambda: sum(pipeline.committed(4)) > 0)
        broker.kill()
        instance.says("this member was taken for dead", within_s=60)
        broker.up()
        until(lambda: pipeline.committed(4) == [2400, 2400, 1600, 1600], within_s=60)
        assert instance.stop() == ExitCode.OK
    out = pipeline.out()
    assert set(out) == names
    if settings:
        assert set(out.values()) == {1}


def test_members_that_join_and_leave_commit_each_output_once(pipeline: Keyed) -> None:
    """A partition changes hands in the midst of transactions, with another instance's epoch and generation."""
    pipeline.create_partitions(4)
    names = pipeline.put_keyed(8000, keys=20, partitions=4)
    settings = ONCE | workers("key")
    with pipeline.running("jitter", **settings) as first:
        first.says("first message finished")
        with pipeline.running("jitter", device="pi-2", **settings) as second:
            second.says("first message finished")
            assert second.stop() == ExitCode.OK
        with pipeline.running("jitter", device="pi-3", **settings) as third:
            third.says("first message finished")
            pipeline.evict_members()
            assert first.stop() == ExitCode.OK
            until(lambda: pipeline.committed(4) == [2000] * 4, within_s=60)
            assert third.stop() == ExitCode.OK
    assert pipeline.out() == dict.fromkeys(names, 1)
    pipeline.in_order_of_key()


@pytest.mark.parametrize("settings", [{}, workers("none")], ids=["one", "four"])
def test_a_slow_message_holds_up_those_behind_it_and_none_before_it(pipeline: Keyed, settings: dict[str, str]) -> None:
    """Else a crash would repeat an output that is committed already, or the broker end a transaction kept open."""
    pipeline.create_partitions(1)
    pipeline.put(["a", "slow", *(f"m{n}" for n in range(100))])
    with pipeline.running("overtaken", **ONCE, **settings) as instance:
        until(lambda: pipeline.committed() == [1])
        assert pipeline.out() == {"a": 1}
        until(lambda: pipeline.committed() == [102])
        assert instance.stop() == ExitCode.OK
    assert [record.value() for record in pipeline.records(pipeline.target)][:3] == [b"a", b"slow", b"m0"]


def test_the_older_of_two_processes_with_one_name_is_fenced_and_says_so(pipeline: Keyed) -> None:
    """Else a process that was thought dead produces beside its successor."""
    pipeline.create_partitions(2)
    names = pipeline.put_keyed(6000, partitions=2)
    with pipeline.running("jitter", **ONCE, **workers("none")) as older:
        older.says("first message finished")
        with pipeline.running("jitter", **ONCE, **workers("none")) as newer:
            assert older.ends() == ExitCode.FENCED
            older.says("fenced: another process has taken over")
            until(lambda: sum(pipeline.committed(2)) == 6000, within_s=60)
            assert newer.stop() == ExitCode.OK
    assert pipeline.out() == dict.fromkeys(names, 1)


def test_a_sink_commits_positions_alone(pipeline: Keyed) -> None:
    """A service without a target topic may ask for it too."""
    pipeline.create_all()
    pipeline.put(["x"])
    with pipeline.running("nap", FOGVERSE_TARGET_TOPIC="", **ONCE) as instance:
        until(lambda: pipeline.committed() == [1])
        assert instance.stop() == ExitCode.OK


def test_dead_letters_are_committed_with_their_position(pipeline: Keyed) -> None:
    """Else a crash between the two would write the letter twice."""
    pipeline.create_partitions(1)
    dead = f"{pipeline.source}.dead"
    pipeline.create(dead)
    pipeline.put(["a", "bad", "b"])
    settings = workers("key", FOGVERSE_ON_FAILURE="dead_letter", FOGVERSE_RETRIES="0")
    with pipeline.running("fails_on_bad", **ONCE, **settings) as instance:
        until(lambda: pipeline.committed() == [3])
        assert instance.stop() == ExitCode.OK
    assert (len(pipeline.records(dead)), pipeline.out()) == (1, {"a": 1, "b": 1})
    # The letter is in the log between its transaction's beginning and the marker of its end.
    assert pipeline.end(dead) == 2


@pytest.mark.parametrize("settings", [{}, workers("none")], ids=["one", "four"])
def test_an_output_that_is_not_acceptable_ends_the_run_with_all_before_it_committed(
    pipeline: Keyed, settings: dict[str, str]
) -> None:
    """Its message is not committed, and neither is the one of its outputs that was acceptable."""
    pipeline.create_partitions(1)
    pipeline.put(["a", "b", "bad", "c"])
    with pipeline.running("too_large_on_bad", **ONCE, **settings) as instance:
        assert instance.ends() == ExitCode.CALLABLE_FAILED
        instance.says(f"an output for {pipeline.source}[0]@2 is not acceptable")
    assert pipeline.committed() == [2]
    assert pipeline.out() == Counter("ab")


def test_a_target_topic_that_never_comes_ends_the_run(pipeline: Keyed) -> None:
    """Else it would abort and begin again for ever, in silence."""
    pipeline.create(pipeline.source)
    pipeline.put(["x"])
    with pipeline.running("upper", FOGVERSE_TOPIC_TIMEOUT_S="1", **ONCE) as instance:
        assert instance.ends() == ExitCode.REFUSED
        instance.says(f"an output for {pipeline.source}[0]@0 cannot be delivered")
    assert pipeline.committed()[0] < 0


def test_it_stops_at_once_while_there_is_no_broker(pipeline: Keyed) -> None:
    """Beginning with transactions waits for the broker, and must not keep SIGTERM waiting."""
    pipeline.bootstrap = "127.0.0.1:9"
    with pipeline.running("upper", **ONCE) as instance:
        instance.says("Connection refused")
        began = time.monotonic()
        assert instance.stop() == ExitCode.OK
        assert time.monotonic() - began < 6
