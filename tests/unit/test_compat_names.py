"""FogVerse's names: where they are now, and what they cost those who do not use them."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fogverse import compat
from fogverse.compat import COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "from-fogverse.md").read_text()
TABLE = PAGE.partition("## Old names, new names")[2]
#: What FogVerse and the thesis built on it let others import, by the modules that define it.
SEED = re.findall(
    r"\w+",
    """
    Consumer Producer Runnable ParallelConsumer ParallelProducer ParallelRunnable Processor AbstractConsumer
    AbstractProducer AIOKafkaConsumer AIOKafkaProducer OpenCVConsumer ConsumerStorage Manager Profiling
    AbstractProfiling BaseProfiling CsvLogging FogVerseLogging get_logger get_file_logger get_csv_logger
    get_config get_timestamp get_timestamp_str timestamp_to_datetime calc_datetime get_header size_kb get_size
    bytes_to_numpy numpy_to_bytes compress_encoding recover_encoding numpy_to_base64_url get_cam_id
    create_topics create_partitions alter_config read_topic_yaml MasterComponent AutoScaleComponent
    MasterAutoScalerConfig ObserverConfig Worker Master MasterObserver MasterWorker ConsumerAutoScaler
    ConsumerStart ProducerObserver Observer StatisticWorker TopicStatistic InputOutputRatioWorker
    TopicSpikeChecker AutoDeployer DeployScripts ProfillingWorker DistributedWorkerServerWorker LockRequest
    LockResponse UnlockRequest UnlockResponse MachineConditionData NodeHeartBeat InputOutputThroughputPair
    AutoScaleRequest TopicDeploymentConfig DeployConfig DeployArgs DeployResult TopicDeployDelay CloudProvider
    CloudDeployConfigs
    """,
)
ROWS = [line.split(" | ") for line in TABLE.splitlines() if line.startswith("| `")]
NEW = sorted({name for row in ROWS for name in re.findall(r"`([\w.]+)`", row[1])})


def test_every_old_name_is_in_the_table() -> None:
    """Else somebody who comes from FogVerse looks for a class and finds no word about it."""
    told = {name.rpartition(".")[2] for row in ROWS for cell in row for name in re.findall(r"`([\w.]+)`", cell)}
    assert sorted(set(SEED) - told) == []


@pytest.mark.parametrize("name", NEW)
def test_every_new_name_is_there(name: str) -> None:
    """Else the table sends its reader to something that does not exist."""
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", compat.__all__)
def test_what_is_exported_is_described(name: str) -> None:
    """A name without a word about it is of no use to anybody."""
    assert re.search(rf"[`.]{name}`", PAGE)


@pytest.mark.parametrize(("column", "meaning"), COLUMNS.items())
def test_every_column_of_profiling_is_described(column: str, meaning: str) -> None:
    """Else a figure in the file can be read in two ways."""
    assert f"| `{column}` | {meaning} |" in PAGE


def test_plain_fogverse_does_not_load_it() -> None:
    """Else each instance on a small device pays memory for classes that it does not use."""
    code = "import sys, fogverse; print([m for m in sys.modules if m.startswith(('fogverse.compat', 'asyncio.'))])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "compat" not in loaded


def test_without_the_orchestrator_only_the_master_is_missing_and_says_how_to_mend_that() -> None:
    """A device has no orchestrator: the other factories must work there, and the error must not be a riddle."""
    code = """
import asyncio, sys
sys.modules["orchestrator"] = None
from fogverse.compat import Master, MasterComponent
component = MasterComponent()
component.consumer_auto_scaler(), component.producer_observer()
for use in (lambda: Master("t", "s", "g", []), lambda: asyncio.run(component.master_event_handler().run())):
    try:
        use()
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("pip install fogverse-orchestrator") == 2
