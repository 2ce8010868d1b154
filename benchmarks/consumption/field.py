"""Who takes part, in which setting, and with how many messages."""

from __future__ import annotations

import importlib.util
import inspect
from dataclasses import dataclass

from fogverse import Executor

IO_WORKERS = 16
CPU_WORKERS = 2
INSTALL = "pip install -c constraints.txt -e '.[benchmarks]'"


@dataclass(frozen=True)
class Contender:
    """One way to consume.

    Attributes:
        name: as the table shows it.
        module: module of this package that is run.
        workers: messages worked on at once.
        variant: setting of the module.
        ordered: whether it claims to keep the order of a key.
        alone: works on one message at a time, whatever ``workers`` says, so that fewer messages have to do.
        processes: how many members of the group are started.
    """

    name: str
    module: str
    workers: int = 1
    variant: str = ""
    ordered: bool = True
    alone: bool = False
    processes: int = 1

    @property
    def missing(self) -> str:
        """What has to be installed first; empty if nothing."""
        gone = self.module == "fast_stream" and importlib.util.find_spec("faststream") is None
        return f"not installed: {INSTALL}" if gone else ""


#: A bare loop is the alternative that everything is held against.
SERIAL = Contender("serial confluent-kafka loop", "serial", alone=True)


def _ours(workers: int, **alone: bool) -> list[Contender]:
    modes = ["threads", "async"]
    if "mode" in inspect.signature(Executor.__init__).parameters:
        modes.append("process")
    return [
        Contender(f"ours, {mode}, by key", "ours", workers, mode, alone=alone.get(mode, False)) for mode in modes
    ]  # fmt: skip


def field(work: str, partitions: int) -> list[Contender]:
    """All that take part in one case, the serial loop first."""
    if work == "io":
        return [
            SERIAL,
            Contender("FastStream, batches, by key", "fast_stream", IO_WORKERS),
            Contender("the seed's way, no order", "seed_way", IO_WORKERS, ordered=False),
            *_ours(IO_WORKERS),
        ]
    if work == "cpu":
        return [
            SERIAL,
            # Its way to a second core is a second member, which needs a second partition.
            Contender("FastStream, batches, by key", "fast_stream", CPU_WORKERS, alone=True)
            if partitions == 1
            else Contender("FastStream, 2 processes, by key", "fast_stream", CPU_WORKERS, processes=CPU_WORKERS),
            Contender("the seed's way, no order", "seed_way", CPU_WORKERS, ordered=False),
            *_ours(CPU_WORKERS, threads=True, **{"async": True}),
        ]
    return [
        SERIAL,
        Contender("FastStream, batches, by key", "fast_stream", IO_WORKERS),
        Contender("the seed's way, no order", "seed_way", CPU_WORKERS, ordered=False),
        Contender("ours, one worker", "ours", 1, "threads"),
        *_ours(4),
    ]


@dataclass(frozen=True)
class Amounts:
    """How many messages a case has.

    Attributes:
        parallel: where work goes on side by side.
        alone: where each message waits for the one before: a tenth, or the table would take an hour.
        noop: where nothing is done with them.
        noop_slow: the same for those that take long over it.
    """

    parallel: int = 10_000
    alone: int = 1_000
    noop: int = 200_000
    noop_slow: int = 20_000

    def of(self, contender: Contender, work: str, keys: int) -> int:
        """Messages for one contender."""
        if work == "noop":
            return self.noop_slow if contender.module in ("fast_stream", "seed_way") else self.noop
        return self.alone if contender.alone or (contender.ordered and keys == 1) else self.parallel


FULL = Amounts()
QUICK = Amounts(parallel=2_000, alone=300, noop=50_000, noop_slow=5_000)
