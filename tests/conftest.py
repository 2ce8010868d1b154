"""Fixtures that tests of every part share: a real broker, and what simulated devices start from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

with warnings.catch_warnings():
    # kafka-python reads its schemas in a way that Python 3.11 deprecates; once imported it says so no more.
    warnings.simplefilter("ignore", DeprecationWarning)
    from lab.base import build
    from lab.broker import LocalBroker
    from lab.jars import collect
    from lab.ports import free_port
    from orchestrator.project import PROJECT

# How long an example takes says something of the machine, nothing of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def jars() -> Path:
    """The broker's jars, collected once into the project."""
    return collect(PROJECT / ".lab" / "jars")


@pytest.fixture(scope="session")
def broker(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """A broker on a free loopback port, with nothing in it, for the whole session."""
    started = LocalBroker(tmp_path_factory.mktemp("broker") / "kafka", jars, port=free_port())
    try:
        started.up()
        yield started
    finally:
        started.purge()


@pytest.fixture(scope="session")
def device_base() -> Path:
    """The root file system of simulated devices, built once into the project."""
    if os.geteuid():
        pytest.skip("simulated devices need root")
    return build(PROJECT / ".lab" / "base")
