"""The deciding core must stay testable without a broker, a device or a clock."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "orchestrator" / "core"
FORBIDDEN = {
    "ansible", "ansible_runner", "asyncio", "click", "confluent_kafka", "datetime", "http", "io", "kafka", "logging",
    "os", "paramiko", "pathlib", "random", "rich", "socket", "subprocess", "threading", "time", "yaml",
}  # fmt: skip


@pytest.mark.parametrize("module", sorted(CORE.glob("*.py")), ids=lambda path: path.stem)
def test_core_imports_no_io_no_clock_and_no_shell(module: Path) -> None:
    """Lost otherwise: decisions that can be replayed and simulated."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            assert name.split(".")[0] not in FORBIDDEN, f"{module.name} imports {name}"
            if name.startswith("orchestrator"):
                assert name.startswith("orchestrator.core"), f"{module.name} imports the shell {name}"
