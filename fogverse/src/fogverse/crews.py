"""Which workers suit a callable and the settings, and how messages are packed for them."""

from __future__ import annotations

import logging
import sys
from queue import SimpleQueue

from fogverse.call import Call
from fogverse.coroutines import Coroutines
from fogverse.job import Job
from fogverse.meter import Meter
from fogverse.packing import Batches, Chunks, Packing
from fogverse.plan import Plan
from fogverse.process import Process, is_coroutine_function
from fogverse.settings import Settings
from fogverse.stopping import Stopping
from fogverse.threads import Crew, Threads


def packing(settings: Settings) -> Packing | None:
    """How many messages go to a worker together; None: each by itself."""
    if settings.batch is not None:
        return Batches(settings.batch, settings.batch_wait_ms / 1000, settings.workers)
    return Chunks(settings.workers) if settings.mode == "process" else None


def crew(
    settings: Settings, process: Process | str, meter: Meter, stopping: Stopping, done: SimpleQueue[list[Job]]
) -> Crew:
    """The workers; processes for a callable that is given by its entrypoint."""
    in_batches = settings.batch is not None
    if isinstance(process, str):
        from fogverse.processes import Processes  # noqa: PLC0415 -- costs 1 MB that few need

        level = logging.getLevelName(logging.getLogger().getEffectiveLevel())
        plan = Plan(process, tuple(sys.path), in_batches, settings.target_topic, settings.ordering, level)
        return Processes(plan, settings.workers, meter, stopping, done)
    call = Call(in_batches=in_batches, target_topic=settings.target_topic)
    kind: type[Coroutines | Threads] = Coroutines if is_coroutine_function(process) else Threads
    return kind(process, settings.workers, call, meter, done)  # type: ignore[arg-type]  # told apart just now
