"""Worker processes without a broker: found, refused, started, ended; and how messages are packed for them."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from queue import SimpleQueue

import pytest

from fogverse import Executor, ExitCode, Message, SettingsError
from fogverse.assignment import Assignment
from fogverse.call import Call
from fogverse.entrypoint import name_of
from fogverse.faults import Fault
from fogverse.job import Job
from fogverse.message import WrongOutputError
from fogverse.meter import Meter
from fogverse.packing import CHUNK, Batches, Chunks
from fogverse.plan import Plan
from fogverse.processes import Processes
from fogverse.stopping import Stopping
from fogverse.usage import cpu_s

STAGES = """
    import os

    print("a stage may print")

    def die(message):
        os._exit(9)

    def upper(message):
        return message.value.upper()

    def headed(message):
        from fogverse import Output
        return Output(message.value, headers=(("f", open(os.devnull)),))

    async def awaits(message): ...
"""


def crew(folder: Path, source: str, name: str = "upper") -> tuple[Processes, SimpleQueue[list[Job]]]:
    (folder / "stages.py").write_text(textwrap.dedent(source))
    plan = Plan(f"stages:{name}", (str(folder), *sys.path), False, "client", "none", "INFO")
    done: SimpleQueue[list[Job]] = SimpleQueue()
    return Processes(plan, 1, Meter(), Stopping(20), done), done


def one(value: bytes) -> Job:
    assignment = Assignment()
    assignment.add([("analyze", 0)])
    ticket = assignment.begin(Message(value, b"key", (), "analyze", 0, 7))
    assert ticket is not None
    return Job(ticket, 0.0)


def test_a_worker_calls_what_it_imported_itself_and_ends_with_its_crew(tmp_path: Path) -> None:
    """The plain way of one message there and back."""
    workers, done = crew(tmp_path, STAGES)
    try:
        workers.start()
        workers.give([one(b"a"), one(b"b")])
        jobs = done.get(timeout=20)
    finally:
        workers.close()
    outputs = [(job.outputs[0].value, job.outputs[0].key, job.outputs[0].topic) for job in jobs]
    assert outputs == [(b"A", b"key", "client"), (b"B", b"key", "client")]
    assert all((job.started_s or 0) <= job.ended_s and job.error is None for job in jobs)


def test_what_cannot_leave_a_worker_is_a_failure_in_words(tmp_path: Path) -> None:
    """Else an open file in a header takes down the worker, or its neighbours' outputs."""
    workers, done = crew(tmp_path, STAGES, "headed")
    try:
        workers.start()
        workers.give([one(b"a")])
        [job] = done.get(timeout=20)
    finally:
        workers.close()
    assert "an output cannot leave its worker process: TypeError" in str(job.error)


def test_a_worker_that_dies_again_and_again_is_told_for_each_message_and_replaced(tmp_path: Path) -> None:
    workers, done = crew(tmp_path, STAGES, "die")
    try:
        workers.start()
        for _ in range(2):
            workers.give([one(b"a"), one(b"b")])
            back = [job for _ in range(2) for job in done.get(timeout=20)]
            assert [(job.returned, job.single, str(job.error)) for job in back] == [
                (True, False, "None"),
                (False, True, "worker 1 ended with exit code 9"),
            ]
    finally:
        workers.close()


@pytest.mark.parametrize(
    ("source", "name", "code", "text"),
    [
        ("import missing_library", "upper", ExitCode.NO_CALLABLE, "in the artifact's requirements.txt?"),
        (STAGES, "lacks", ExitCode.NO_CALLABLE, "has no lacks"),
        (STAGES, "awaits", ExitCode.BAD_SETTINGS, "choose mode thread"),
        ("import os; os._exit(1)", "upper", ExitCode.CALLABLE_FAILED, "exit code 1 while it imported stages:upper"),
    ],
)
def test_what_workers_cannot_import_is_told_as_ever(
    tmp_path: Path, source: str, name: str, code: ExitCode, text: str
) -> None:
    """Else systemd restarts for ever what a person must mend."""
    workers, _done = crew(tmp_path, source, name)
    try:
        with pytest.raises(Fault) as caught:
            workers.start()
    finally:
        workers.close()
    assert caught.value.code is code
    assert text in caught.value.text


def test_callables_that_no_worker_could_find_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it shows on the device only, once everything has started."""
    assert name_of(name_of) == "fogverse.entrypoint:name_of"
    with pytest.raises(TypeError, match="cannot be imported by a worker process"):
        name_of(lambda _message: None)

    async def awaits(_message: Message) -> None: ...

    for variable in ("BOOTSTRAP_SERVERS", "SOURCE_TOPIC", "GROUP_ID"):
        monkeypatch.setenv(f"FOGVERSE_{variable}", "kafka:9092")
    monkeypatch.setenv("FOGVERSE_SOURCE_TOPIC", "analyze")
    with pytest.raises(SettingsError, match="coroutine function"):
        Executor(awaits, mode="process")
    with pytest.raises(SettingsError, match="no batch would be full"):
        Executor(awaits, batch=50, max_in_flight=20)


def test_a_batch_has_one_entry_for_each_message() -> None:
    """Else outputs get the key of another message."""
    call = Call(in_batches=True, target_topic="client")
    messages = [Message(b"", key) for key in (b"a", b"b", b"c")]
    found = call.outputs([b"1", None, [b"3", b"4"]], messages)
    assert [[(output.value, output.key) for output in mine] for mine in found] == [
        [(b"1", b"a")],
        [],
        [(b"3", b"c"), (b"4", b"c")],
    ]
    assert call.outputs(None, messages) == [[], [], []]
    for wrong in ([b"1"], b"123", iter([b"1", b"2", b"3"]), [b"1", 2, b"3"]):
        with pytest.raises(WrongOutputError):
            call.outputs(wrong, messages)


def test_batches_wait_for_company_only_while_it_is_worth_it() -> None:
    """Else a model gets single messages under load, or a lone message waits for ever."""
    batches = Batches(10, 0.05, 2)
    assert batches.size(25, 0, 0.0) == 10
    assert (batches.size(4, 0, 0.01), batches.size(4, 0, 0.05)) == (0, 4)
    assert batches.size(4, 2, 1.0) == 0, "all are busy: it may as well become full"


def test_chunks_are_small_for_slow_calls_and_shared_out_fairly() -> None:
    """Else a second of work waits in one worker while the other has nothing to do."""
    chunks = Chunks(2)
    assert chunks.size(100, 0, 0.0) == 1, "nothing is known yet"
    for _ in range(1000):
        chunks.note(1e-5)
    assert chunks.size(10_000, 0, 0.0) == CHUNK
    assert [chunks.size(100, out, 0.0) for out in range(4)] == [25, 34, 50, 100]
    chunks.note(0.3)
    assert chunks.size(10_000, 0, 0.0) == 1


def test_the_cpu_of_workers_counts(tmp_path: Path) -> None:
    """Else an instance that burns two cores in its workers looks idle to the master."""
    before = cpu_s()
    burning = "import time\nwhile time.process_time() < 0.4: pass\n"
    workers, _done = crew(tmp_path, burning + textwrap.dedent(STAGES))
    try:
        workers.start()
        assert cpu_s() - before > 0.3
    finally:
        workers.close()
    assert cpu_s() - before > 0.3, "what it has taken does not go with it"
