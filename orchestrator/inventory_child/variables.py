"""Fill in the templates of variables, and note where each value stands."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from orchestrator.inventory_child.secrets import is_secret

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None


def template(loader: DataLoader, raw: Mapping[str, Any], wanted: Collection[str], prefix: str) -> dict[str, Any]:
    """Template the wanted variables; the others may need what is known only in a run, such as facts.

    Returns:
        ``values``; ``places``: ``[key path, file, line, column]``; ``secret``: key paths of what came out of a
        vault; ``untemplated``: ``[key path, template, words]`` for templates that cannot be filled in; ``others``:
        names of the variables that begin with the prefix and are not wanted, with their ``places``.
    """
    templar = Templar(loader=loader, variables=raw)
    result: dict[str, Any] = {"values": {}, "places": [], "secret": [], "untemplated": [], "others": []}
    for name in raw:
        if name in wanted:
            result["values"][str(name)] = _walk(templar, [str(name)], name, raw[name], result)
        elif str(name).startswith(prefix):
            result["others"].append(str(name))
            _note([str(name)], name, raw[name], result)
    return result


def _walk(templar: Templar, path: list[str | int], key: Any, value: Any, result: dict[str, Any]) -> Any:
    """Template ``value`` and note for it and everything in it where it stands."""
    _note(path, key, value, result)
    if not isinstance(value, Mapping | list | tuple):
        template = value
        try:
            value = templar.template(template)
        except AnsibleError as error:
            result["untemplated"].append([path, str(template), " ".join(str(error).split())])
            return None
        if value is not template and is_secret(value):
            result["secret"].append(path)
    if isinstance(value, Mapping):
        return {str(k): _walk(templar, [*path, str(k)], k, value[k], result) for k in value}
    if isinstance(value, list | tuple):
        return [_walk(templar, [*path, index], None, item, result) for index, item in enumerate(value)]
    return value


def _note(path: list[str | int], key: Any, value: Any, result: dict[str, Any]) -> None:
    if Origin is None:
        return
    of_key, of_value = Origin.get_tag(key), Origin.get_tag(value)
    place = of_value or of_key  # true, false and null carry no tag
    if of_key and of_value and isinstance(value, Mapping | list | tuple):
        # A block begins below its key, and the key is what to point at. But when the same variable is set in
        # several places, Ansible keeps the first key and the last value.
        same = of_key.path == of_value.path and (of_key.line_num or 0) <= (of_value.line_num or 0)
        place = of_key if same else of_value
    if place and place.path:
        result["places"].append([path, place.path, place.line_num, place.col_num])
    if is_secret(value):
        result["secret"].append(path)
