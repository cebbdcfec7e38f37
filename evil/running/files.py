"""JSON files: written whole or not at all, and readable by any parser."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evil.errors import UserError


@contextlib.contextmanager
def explained(attempt: str, path: Path) -> Iterator[None]:
    """Turn the operating system's refusals (read-only, full, not a folder) into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot {attempt} {path}: {error.strerror or error}") from error


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


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text` in one rename: a reader sees the old file or the new one."""
    with explained("write", path):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically."""
    write_atomically(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; anything else that may be there is a `UserError`."""
    with explained("read", path):
        text = path.read_bytes()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is corrupt: it is not valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is corrupt: expected a JSON object, found {type(value).__name__}.")
    return value


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
