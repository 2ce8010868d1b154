"""Documentation that cannot rot: what exists is described."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

from orchestrator.act.step import StepName
from orchestrator.cli.main import COMMANDS
from orchestrator.core.decision import Kind
from orchestrator.core.policy_settings import table

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_is_documented(name: str) -> None:
    """Lost otherwise: commands that nobody finds."""
    assert f"`orchestrator {name}`" in (DOCS / "commands.md").read_text()


@pytest.mark.parametrize("word", [*typing.get_args(Kind), *typing.get_args(StepName)])
def test_every_outcome_is_documented(word: str) -> None:
    """Lost otherwise: the meaning of a word in the log."""
    assert f"`{word}`" in (DOCS / "commands.md").read_text()


def test_every_setting_of_the_policy_is_documented() -> None:
    """A stale table makes people set what has no effect."""
    assert table() in (DOCS / "policy.md").read_text()


def test_every_page_that_the_readme_names_is_there() -> None:
    """Lost otherwise: dead links on the first page."""
    readme = (DOCS.parent / "README.md").read_text()
    named = [part.split(")")[0] for part in readme.split("](")[1:]]
    missing = [name for name in named if not name.startswith("http") and not (DOCS.parent / name).exists()]
    assert missing == []
