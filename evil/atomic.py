"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from evil.errors import UserError


@contextlib.contextmanager
def explained(attempt: str, path: Path) -> Iterator[None]:
    """Turn the operating system's refusals (read-only, full, not a folder) into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot {attempt} {path}: {error.strerror or error}") from error


def write(path: Path, content: bytes) -> Path:
    """Replace `path` by `content` in one rename: a reader sees the old file or the new one."""
    return write_parts(path, [content])


def write_parts(path: Path, parts: Iterable[bytes]) -> Path:
    """As `write`, of what need not fit in memory at once; `parts` may be read from `path`."""
    with explained("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path))
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.writelines(parts)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's are for their owner alone
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
    return path


def clear(path: Path) -> None:
    """Remove what killed attempts to write `path` have left beside it."""
    for remains in path.parent.iterdir():
        if remains.name.startswith(_prefix(path)):
            remains.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    """How the hidden file begins that is to become `path`."""
    return f".{path.name}-"


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
