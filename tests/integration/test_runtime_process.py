"""Work in processes, and in batches, against a real broker: in order, killed, stuck, and never left behind."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka.cimpl import NewTopic

from fogverse import ExitCode
from lab.broker import LocalBroker
from tests.integration.test_runtime_broker import Instance, until
from tests.integration.test_runtime_parallel import Keyed, finished_and_stopped

pytestmark = pytest.mark.broker

STAGES = """
import os
import time

from fogverse import Output

def compute(message):
    end = time.process_time() + 0.002
    while time.process_time() < end:
        pass
    return Output(message.value, message.key, (("by", str(os.getpid()).encode()),))

def fails_on_bad(message):
    if message.value == b"bad":
        raise ValueError("this one")
    if message.value == b"kill":
        os.kill(os.getpid(), 9)
    if message.value == b"stuck":
        time.sleep(600)
    return message.value

def batches(messages):
    time.sleep(0.002)
    if any(message.value == b"bad" for message in messages):
        raise ValueError("one of these")
    size = str(len(messages)).encode()
    return [Output(message.value, message.key, (("together", size),)) for message in messages]

async def awaits_batches(messages):
    return batches(messages)

def grow(message):
    value = message.value
    return [value, Output(value * int(value)), value] if value.isdigit() else value

def too_few(messages):
    return [b"x"] * (len(messages) + 1)
"""


@pytest.fixture
def pipeline(broker: LocalBroker, tmp_path: Path) -> Keyed:
    keyed = Keyed(broker, tmp_path)
    (tmp_path / "stages.py").write_text(STAGES)
    return keyed


def processes(ordering: str, **more: str) -> dict[str, str]:
    chosen = {"FOGVERSE_MODE": "process", "FOGVERSE_WORKERS": "2", "FOGVERSE_ORDERING": ordering}
    return chosen | {"FOGVERSE_MAX_IN_FLIGHT": "200"} | more


def workers_of(instance: Instance) -> list[int]:
    """Process ids of its worker processes."""
    tasks = Path(f"/proc/{instance.process.pid}/task")
    return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]


def ended(pid: int) -> bool:
    """Whether a process runs no more; one that nobody reaps is as good as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def headers(pipeline: Keyed, name: str) -> Counter[str]:
    found = [dict(record.headers() or []).get(name) for record in pipeline.records(pipeline.target)]
    return Counter((value or b"").decode() for value in found)


@pytest.mark.parametrize("ordering", ["none", "key", "partition"])
def test_work_is_shared_by_processes_in_order_and_a_killed_worker_loses_nothing(pipeline: Keyed, ordering: str) -> None:
    """Else a segmentation fault in a model, or the kernel short of memory, costs messages or their order."""
    pipeline.create_partitions(2)
    names = pipeline.put_keyed(3000, keys=10, partitions=2)
    with pipeline.running("compute", **processes(ordering, FOGVERSE_RETRIES="3")) as instance:
        instance.says("first message finished")
        killed = workers_of(instance)
        assert len(killed) == 2
        os.kill(killed[0], signal.SIGKILL)
        instance.says("was ended by SIGKILL")
        finished_and_stopped(pipeline, instance, [1500, 1500])
        assert all(map(ended, killed))
    assert Counter(pipeline.out()) == dict.fromkeys(names, 1), "what a worker has not answered was never produced"
    if ordering != "none":
        pipeline.in_order_of_key()
    assert len(headers(pipeline, "by")) == 3, "two workers and one that took a dead one's place"
    reports = pipeline.reports()
    assert sum(report["consumed"] for report in reports) == 3000
    assert max(report["cpu"] or 0 for report in reports) > 0.5, "the CPU of the workers is missing in the reports"


def test_members_with_processes_join_and_leave_and_repeat_nothing(pipeline: Keyed) -> None:
    """Each rebalance meets messages that are in other processes; workers outlive it."""
    pipeline.create_partitions(2)
    names = pipeline.put_keyed(5000, keys=10, partitions=2)
    with pipeline.running("compute", **processes("key")) as first:
        first.says("first message finished")
        before = workers_of(first)
        with pipeline.running("compute", device="pi-2", **processes("key")) as second:
            second.says("first message finished")
            assert workers_of(first) == before
            assert first.stop() == ExitCode.OK
            assert all(map(ended, before))
            finished_and_stopped(pipeline, second, [2500, 2500])
    assert Counter(pipeline.out()) == dict.fromkeys(names, 1), "a clean change of hands repeats nothing"
    pipeline.in_order_of_key()


def test_messages_that_fail_kill_or_stick_are_buried_and_their_neighbours_are_not(pipeline: Keyed) -> None:
    """Else one record takes a worker down, or keeps it, again and again for ever."""
    pipeline.create_partitions(1)
    dead = f"{pipeline.source}.dead"
    pipeline.create(dead)
    good = [f"m{n}" for n in range(200)]
    pipeline.put([*good[:70], "bad", "kill", *good[70:100], "stuck", *good[100:]])
    limits = {"FOGVERSE_RETRIES": "1", "FOGVERSE_RETRY_DELAY_S": "0.1", "FOGVERSE_MESSAGE_TIMEOUT_S": "1"}
    settings = processes("partition", FOGVERSE_ON_FAILURE="dead_letter", **limits)
    with pipeline.running("fails_on_bad", **settings) as instance:
        finished_and_stopped(pipeline, instance, [203])
        instance.says(f"working on {pipeline.source}[0]@102 for 1 s; its worker is replaced")
    assert [record.value() for record in pipeline.records(pipeline.target)] == [name.encode() for name in good]
    told = {record.value(): dict(record.headers() or []) for record in pipeline.records(dead)}
    reasons = {value: headers["fogverse-reason"] for value, headers in told.items()}
    assert reasons.keys() == {b"bad", b"kill", b"stuck"}
    assert reasons[b"bad"] == b"ValueError: this one"
    assert b"SIGKILL" in (reasons[b"kill"] or b"")
    assert b"took longer than 1 s" in (reasons[b"stuck"] or b"")
    assert b"fails_on_bad" in (told[b"bad"]["fogverse-traceback"] or b"")
    assert {headers["fogverse-attempts"] for headers in told.values()} == {b"2"}
    assert [f"{pipeline.source}[0]@102"] in [report["stuck"] for report in pipeline.reports()]


@pytest.mark.parametrize("stops", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_its_instance(pipeline: Keyed, stops: signal.Signals) -> None:
    """Else each crash leaves processes with a model in memory, until the device has none."""
    pipeline.create_all()
    pipeline.put(["stuck", "stuck"])
    with pipeline.running("fails_on_bad", **processes("none", FOGVERSE_DRAIN_TIMEOUT_S="1")) as instance:
        until(lambda: any(report["in_flight"] == 2 for report in pipeline.reports()))
        workers = workers_of(instance)
        assert len(workers) == 2
        instance.process.send_signal(stops)
        for worker in workers:
            os.kill(worker, signal.SIGINT)  # Ctrl-C, and what systemd sends to a group, are for the parent only
        assert instance.ends() == (-signal.SIGKILL if stops == signal.SIGKILL else ExitCode.DRAIN_OVERRUN)
        until(lambda: all(map(ended, workers)), within_s=5)


@pytest.mark.parametrize("mode", ["thread", "process"])
@pytest.mark.parametrize("ordering", ["none", "key", "partition"])
def test_a_batch_holds_what_is_there_in_order_and_a_poison_message_is_found_in_it(
    pipeline: Keyed, mode: str, ordering: str
) -> None:
    """Else a model that likes batches gets single messages, or one bad message takes its neighbours along."""
    pipeline.create_partitions(2)
    dead = f"{pipeline.source}.dead"
    pipeline.create(dead)
    names = pipeline.put_keyed(1000, keys=10, partitions=2)
    pipeline.put(["bad"])
    names |= pipeline.put_keyed(1000, keys=10, partitions=2)
    settings = processes(ordering, FOGVERSE_MODE=mode, FOGVERSE_BATCH="20", FOGVERSE_BATCH_WAIT_MS="100")
    with pipeline.running("batches", **settings, FOGVERSE_ON_FAILURE="dead_letter", FOGVERSE_RETRIES="0") as instance:
        finished_and_stopped(pipeline, instance, [1001, 1000])
    assert Counter(pipeline.out()) == dict.fromkeys(names, 2), "each was put in twice and comes out twice"
    [letter] = pipeline.records(dead)
    assert (letter.value(), dict(letter.headers() or [])["fogverse-attempts"]) == (b"bad", b"1")
    if ordering != "none":
        pipeline.in_order_of_key()
    together = headers(pipeline, "together")
    assert together["20"] >= 1000, f"most of 2000 messages fill a batch: {together}"
    assert together["1"] >= 1, "those beside the bad one are tried alone"


def test_a_coroutine_function_awaits_batches_and_a_lone_message_does_not_wait_for_ever(pipeline: Keyed) -> None:
    pipeline.create_all()
    settings = processes("key", FOGVERSE_MODE="thread", FOGVERSE_BATCH="20", FOGVERSE_BATCH_WAIT_MS="200")
    with pipeline.running("awaits_batches", **settings) as instance:
        instance.says("owns")
        pipeline.put(["a", "b", "c"])
        finished_and_stopped(pipeline, instance, [3])
    assert headers(pipeline, "together") == {"3": 3}


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_a_list_of_the_wrong_length_ends_the_run_with_words(pipeline: Keyed, mode: str) -> None:
    """Else outputs are paired with other messages, and nobody notices."""
    pipeline.create_all()
    pipeline.put(["a"])
    settings = processes("none", FOGVERSE_MODE=mode, FOGVERSE_BATCH="5")
    with pipeline.running("too_few", **settings) as instance:
        assert instance.ends() == ExitCode.CALLABLE_FAILED
        instance.says("a batch of 1 messages returned a list of 2")
    assert pipeline.committed()[0] < 1


def test_one_stuck_message_holds_up_no_other_worker(pipeline: Keyed) -> None:
    """Else a record of a minute makes those wait that were sent to its worker along with it."""
    pipeline.create_partitions(1)
    pipeline.put([*(f"m{n}" for n in range(300)), "stuck", *(f"n{n}" for n in range(60))])
    began = time.monotonic()
    with pipeline.running("fails_on_bad", **processes("key", FOGVERSE_DRAIN_TIMEOUT_S="1")) as instance:
        until(lambda: len(pipeline.out()) == 360, within_s=15)
        assert time.monotonic() - began < 15
        assert instance.stop() == ExitCode.DRAIN_OVERRUN
    assert pipeline.committed() == [300]


def test_an_output_that_is_too_large_buries_its_message_and_no_other(pipeline: Keyed) -> None:
    """Else one picture that is too large stops a service for good, or takes along what was sent with it."""
    dead = f"{pipeline.source}.dead"
    pipeline.create(pipeline.source, pipeline.observer, dead)
    target = NewTopic(pipeline.target, 1, 1, config={"max.message.bytes": "20000"})
    pipeline.admin.create_topics([target])[pipeline.target].result(10)
    good = [f"m{n}" for n in range(400)]
    # The broker refuses the first one, the client itself the second one.
    pipeline.put([*good[:200], "30000", *good[200:300], "300000", *good[300:]])
    with pipeline.running("grow", FOGVERSE_ON_FAILURE="dead_letter") as instance:
        finished_and_stopped(pipeline, instance, [402])
    out = pipeline.out()
    assert {name: count for name, count in out.items() if name.startswith("m")} == dict.fromkeys(good, 1)
    letters = {record.value(): dict(record.headers() or []) for record in pipeline.records(dead)}
    assert letters.keys() == {b"30000", b"300000"}
    for value, size in ((b"30000", 150_000), (b"300000", 1_800_000)):
        reason = (letters[value]["fogverse-reason"] or b"").decode()
        assert reason.startswith(f"TooLargeError: an output of {size} bytes for topic {pipeline.target} is refused")
        assert letters[value]["fogverse-attempts"] == b"1"
    totals = Counter[str]()
    for report in pipeline.reports():
        totals.update({name: report[name] for name in ("consumed", "failed", "dead_letters")})
    assert totals == {"consumed": 400, "failed": 2, "dead_letters": 2}
