"""Templates that are compiled once, in the warm process: Ansible compiles them in the process of each task and host.

What Jinja makes of a text depends on the text and the environment's syntax alone, so the code can be kept and used
again; text that has changed since is another key. For a device that is told to start something this was half of what
Ansible computed before it asked the device.
"""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible._internal._templating._engine import TemplateEngine
from ansible._internal._templating._jinja_bits import _TemplateCompileContext

#: What the result depends on besides the text. Source: ``jinja2.lexer.get_lexer``, ``jinja2.compiler.CodeGenerator``.
_SYNTAX = attrgetter(
    "__class__",
    "block_start_string",
    "block_end_string",
    "variable_start_string",
    "variable_end_string",
    "comment_start_string",
    "comment_end_string",
    "line_statement_prefix",
    "line_comment_prefix",
    "trim_blocks",
    "lstrip_blocks",
    "newline_sequence",
    "keep_trailing_newline",
    "optimized",
    "autoescape",
    "is_async",
    "finalize",
)


class Templates:
    """Code by text: what is compiled while they are in use is kept, for this process and those forked from it."""

    def __init__(self) -> None:
        self._codes: dict[Any, Any] = {}

    def use(self) -> None:
        """Have Jinja take what is kept, from now on, and keep what it has to compile."""
        codes, compile_anew, context = self._codes, jinja2.Environment.compile, _TemplateCompileContext.current

        def compile_once(
            environment: jinja2.Environment, source: Any, name: str | None = None, *rest: Any, **options: Any
        ) -> Any:
            if not isinstance(source, str) or options:
                return compile_anew(environment, source, name, *rest, **options)
            said = context(optional=True)
            key = str(source), name, said is not None and said.escape_backslashes, _SYNTAX(environment), rest[1:]
            code = codes.get(key)
            if code is None:
                code = codes[key] = compile_anew(environment, source, name, *rest)
            return code

        jinja2.Environment.compile = compile_once  # type: ignore[assignment]

    def prepare(self, *folders: Path) -> None:
        """Compile what the playbooks and roles below these folders say.

        What cannot be compiled, or read, is left to the run that needs it, which says what is wrong with it.
        """
        compile_ahead = TemplateEngine().environment.compile
        with _TemplateCompileContext(escape_backslashes=True):
            for text in _scalars_of(folders):
                with suppress(Exception):  # a filter that nobody has is of a kind of its own
                    compile_ahead(text)
        for file in _files(folders, "*.j2"):
            with suppress(Exception):
                text = file.read_text("utf-8")
                compile_ahead(text)
                compile_ahead(text, file.name, str(file))  # as another template includes it


def _scalars_of(folders: Collection[Path]) -> set[str]:
    found: set[str] = set()
    for file in _files(folders, "*.yml"):
        with suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
            for document in yaml.compose_all(file.read_text("utf-8"), yaml.CSafeLoader):
                found.update(_scalars(document))
    return {text for text in found if "{{" in text or "{%" in text}


def _files(folders: Collection[Path], pattern: str) -> Iterator[Path]:
    return chain.from_iterable(folder.rglob(pattern) for folder in folders)


def _scalars(node: yaml.Node) -> Iterator[str]:
    match node:
        case yaml.ScalarNode():
            yield node.value
        case yaml.SequenceNode():
            for item in node.value:
                yield from _scalars(item)
        case yaml.MappingNode():
            for pair in node.value:
                for item in pair:
                    yield from _scalars(item)
