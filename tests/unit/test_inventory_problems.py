"""Broken inventories in, the report that a user sees out: ``tests/data/inventories/NAME/{inventory,report.txt}``."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from orchestrator.inventory import InventoryInvalid, read
from orchestrator.inventory.report import as_values, report

PROJECT = Path(__file__).parents[2]
CASES = sorted(path for path in (PROJECT / "tests/data/inventories").iterdir() if (path / "report.txt").exists())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_problem_is_reported_at_once_with_its_place_and_mend(case: Path) -> None:
    environment = case / "environment.yml"
    environ = yaml.safe_load(environment.read_text()) if environment.exists() else {}

    with pytest.raises(InventoryInvalid) as caught:
        read(case / "inventory", PROJECT, environ)

    shown = report(caught.value.problems, case) + "\n"
    assert shown.replace(str(PROJECT), "PROJECT") == (case / "report.txt").read_text()


def test_no_secret_of_a_broken_inventory_is_shown() -> None:
    """A report is pasted into tickets: a password in it would be everybody's."""
    with pytest.raises(InventoryInvalid) as caught:
        read(PROJECT / "tests/data/inventories/kafka/inventory", PROJECT, {})

    told = f"{caught.value} {report(caught.value.problems, PROJECT)} {as_values(caught.value.problems)}"
    assert "not-to-be-seen" not in told
    assert "********" in told


@pytest.mark.parametrize("made", ["nothing", "folder"])
def test_a_missing_or_empty_inventory_names_its_path(tmp_path: Path, made: str) -> None:
    path = tmp_path / "home"
    if made == "folder":
        path.mkdir()

    with pytest.raises(InventoryInvalid, match=f"{path}: .*name another with -i PATH"):
        read(path, PROJECT, {})
