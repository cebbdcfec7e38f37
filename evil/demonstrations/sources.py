"""Demonstrations from wherever they are, by what is found at a path.

a folder with main_data.hdf5    a dataset of Minari
*.hdf5, *.h5                    a file of D4RL
*.pkl, *.pickle                 an expert of the original EvIL code, read without unpickling
anything else                   the library's own `.npz`
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evil.demonstrations import d4rl, files, legacy, minari
from evil.demonstrations.demonstrations import Demonstrations
from evil.errors import UserError
from evil.seams import Spec


def load(path: str | Path, spec: Spec | None = None) -> tuple[Demonstrations, dict[str, Any]]:
    """Read `(demonstrations, meta)`, and check them against `spec`, or else their own header.

    Of foreign formats only a spec says what they should be. Raises `UserError` for anything a file
    can have wrong, without executing or trusting it.
    """
    path = Path(path).expanduser()
    folder = minari.find(path)
    foreign = {".hdf5": d4rl, ".h5": d4rl, ".pkl": legacy, ".pickle": legacy}
    if folder is None and path.suffix not in foreign:
        if path.is_dir():
            raise UserError(f"{path}: expected a file, or a dataset of Minari, found a folder.")
        return files.load(path, spec)
    if spec is None:
        raise UserError(f"{path}: expected the environment that it is from, found none.")
    return foreign[path.suffix].load(path, spec) if folder is None else minari.load(folder, spec)
