"""Spoiled files for every reader, while Python itself says whatever is executed.

    python -m tests.hostile.watched COUNT

Fails if a file has a command run, a name looked up for a pickle, or a text executed. That all of
these would be noticed is tried first.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import pickle
import subprocess
import sys
import tempfile
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evil.errors import UserError
from tests.hostile import mutations, test_readers

PROCESSES = ("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen")
MAKERS = (dataclasses.__file__, collections.__file__, typing.__file__)
seen: list[str] = []
is_reading = False


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not is_reading:
        return
    if event == "pickle.find_class" or event in PROCESSES:
        seen.append(f"{event} {arguments!r}")
    elif event == "exec":
        # A module imported as late as here is a file; its classes, and their annotations, are made
        # of its own text.
        source, caller = arguments[0].co_filename, sys._getframe(1).f_code.co_filename
        if not (source.startswith("<frozen ") or os.path.isfile(source) or caller in MAKERS):
            seen.append(f"{event} of {source} by {caller}")


def watched(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A reader whose reading is listened to; making and spoiling files is not."""

    def listen(path: Any) -> Any:
        global is_reading
        is_reading = True
        try:
            return read(path)
        finally:
            is_reading = False

    return listen


def is_noticed(action: Callable[[Any], Any], argument: Any) -> bool:
    seen.clear()
    watched(action)(argument)
    return bool(seen)


def main() -> None:
    sys.addaudithook(hook)
    assert is_noticed(pickle.loads, pickle.dumps(mutations.Executed()))
    assert is_noticed(os.system, "exit 0")
    assert is_noticed(subprocess.run, [sys.executable, "-c", ""])
    assert is_noticed(exec, "1")
    with tempfile.TemporaryDirectory() as folder:
        for name, reader in test_readers.READERS.items():
            first, then = Path(folder) / name, Path(folder) / f"{name}-spoiled"
            first.mkdir(), then.mkdir()
            with contextlib.suppress(UserError):
                reader.read(reader.make(first))  # what it imports, it has imported now
            seen.clear()
            listening = dataclasses.replace(reader, read=watched(reader.read))
            test_readers.meet(listening, then, int(sys.argv[1]))
            assert not seen, (name, seen)
    print("nothing was executed")


if __name__ == "__main__":
    main()
