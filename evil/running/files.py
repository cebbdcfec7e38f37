"""JSON files: written whole or not at all, and readable by any parser."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evil import atomic
from evil.errors import UserError

MAX_BYTES = 64 * 1024**2
MAX_LINE = 1024**2  # of a file of lines, which may have any number of them


def plain(value: Any) -> Any:
    """`value` in JSON's own types; NaN and infinities become null, arrays become lists."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        # Extension floats (bfloat16) have kind "V": only float64 is sure to have a Python form.
        return plain((array.astype(np.float64) if array.dtype.kind == "V" else array).tolist())
    return str(value)


def line(record: Mapping[str, Any]) -> str:
    """One record as one line of JSON."""
    return json.dumps(plain(record), allow_nan=False) + "\n"


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file one by one, so that its size does not matter."""
    with atomic.explained("read", path), path.open("rb") as stream:
        while text := stream.readline(MAX_LINE + 1):
            if len(text) > MAX_LINE:
                raise UserError(f"{path}: expected lines of at most {MAX_LINE} bytes, found more.")
            yield text


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically."""
    text = json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
    atomic.write(path, text.encode())


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; anything else that may be there is a `UserError`."""
    with atomic.explained("read", path), path.open("rb") as stream:
        text = stream.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise UserError(f"{path}: expected at most {MAX_BYTES} bytes of JSON, found more.")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is corrupt: it is not valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is corrupt: expected a JSON object, found {type(value).__name__}.")
    return value
