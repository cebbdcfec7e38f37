"""Configs as plain data: nested frozen dataclasses to dictionaries and back, and with changes.

Each dictionary carries the module of its config under `"type"`, e.g. `"evil.learners.ppo"`, so
that a field which admits several configs finds its way back. Only modules of this library are
ever imported for it.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from evil.errors import UserError, unknown


def to_dict(config: Any) -> dict[str, Any]:
    """A JSON-ready dictionary; `from_dict` gives back an equal config.

    UserError for a number that is not finite, which is no setting, and which JSON cannot hold.
    """
    fields = {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{name} must be finite, found {value}")
    return {"type": type(config).__module__} | fields


def from_dict(data: dict[str, Any]) -> Any:
    """The config that `to_dict` described; UserError if it is not one."""
    name = data.get("type", "")
    if not isinstance(name, str) or name.split(".")[0] != "evil":
        raise UserError(f"a config must name a module of evil as its type, found {name!r}")
    try:
        cls = importlib.import_module(name).Config
    except (ImportError, AttributeError) as error:
        raise UserError(f"unknown config type {name!r}") from error
    hints = typing.get_type_hints(cls)
    values = {}
    for key, value in data.items():
        if key == "type":
            continue
        if key not in hints:
            raise unknown(f"field of {name}", key, hints)
        values[key] = _typed(value, hints[key], f"{name}.{key}")
    return cls(**values)


def override(config: Any, values: Mapping[str, Any]) -> Any:
    """A config with some fields changed, each named by its dotted path; UserError if unknown."""
    for path, value in values.items():
        name, _, rest = path.partition(".")
        known = {field.name for field in dataclasses.fields(config)}
        if name not in known:
            raise unknown(f"field of {type(config).__module__}", name, known)
        if rest:
            value = override(getattr(config, name), {rest: value})
        config = dataclasses.replace(config, **{name: value})
    return config


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _typed(value: Any, hint: Any, where: str) -> Any:
    """`value` as the field's annotation wants it, or a UserError."""
    value = from_dict(value) if isinstance(value, dict) else value
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    for option in options:
        if isinstance(value, list) and typing.get_origin(option) is tuple:
            return tuple(_typed(item, typing.get_args(option)[0], where) for item in value)
        if option is Any or _fits(value, option):
            return value
        if option is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
    raise UserError(f"{where} should be {hint}, found {value!r}")


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _fits(value: Any, option: Any) -> bool:
    if typing.get_origin(option) is typing.Literal:
        return value in typing.get_args(option)
    if option in (None, type(None)):
        return value is None
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(option, type) and isinstance(value, option)
