"""What the commands of the lab share: options, and how errors are told."""

from __future__ import annotations

from pathlib import Path

import click

from lab.base import Recipe
from lab.emulation import own
from lab.errors import LabError
from lab.fleet import Lab
from orchestrator.project import PROJECT

PATH = click.Path(path_type=Path, file_okay=False)

folder_option = click.option(
    "--folder", type=PATH, default=PROJECT / ".lab", show_default=".lab", help="The lab's files; one lab for each."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class LabGroup(click.Group):
    """A group whose commands end with exit code 1 and one line when something cannot be done."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except LabError as problem:
            raise click.ClickException(str(problem)) from None


def at(folder: Path) -> Lab:
    """The lab in a folder, up or not."""
    return Lab(folder, folder / "base" / Recipe(own()).key)
