"""What is done with a message: the same amount, whoever does it."""

from __future__ import annotations

import asyncio
import os
import time

#: What the track tells its contenders, in their environment.
LOOPS_VARIABLE = "BENCHMARK_LOOPS"
WAIT_S = 0.005
_LOOPS = int(os.environ.get(LOOPS_VARIABLE, "0"))


def spin(loops: int) -> int:
    """Compute in pure Python, which holds the interpreter's lock; returns something, so that nothing is left out."""
    state = 1
    for _ in range(loops):
        state = (state * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
    return state


def calibrate(milliseconds: float = 5.0) -> int:
    """Loops of ``spin`` that take so long on this machine: the fastest of several tries, so that it is undisturbed."""
    loops = 20_000
    fastest = float("inf")
    for _ in range(20):
        began = time.perf_counter()
        spin(loops)
        fastest = min(fastest, time.perf_counter() - began)
    return round(loops * milliseconds / 1000 / fastest)


def io(value: bytes) -> bytes:
    """Wait for 5 ms, as for a disk or a network."""
    time.sleep(WAIT_S)
    return value


async def async_io(value: bytes) -> bytes:
    """Wait for 5 ms on an event loop."""
    await asyncio.sleep(WAIT_S)
    return value


def cpu(value: bytes) -> bytes:
    """Compute what takes 5 ms of an undisturbed core."""
    spin(_LOOPS)
    return value


async def async_cpu(value: bytes) -> bytes:
    """The same in a coroutine: it never awaits."""
    spin(_LOOPS)
    return value


def noop(value: bytes) -> bytes:
    """Nothing: what is left is the machinery."""
    return value


async def async_noop(value: bytes) -> bytes:
    """Nothing, in a coroutine."""
    return value


PLAIN = {"io": io, "cpu": cpu, "noop": noop}
ASYNC = {"io": async_io, "cpu": async_cpu, "noop": async_noop}
