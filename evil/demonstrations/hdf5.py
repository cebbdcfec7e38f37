"""Arrays from an HDF5 file of a stranger: names, sizes and types are known before any is read."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evil.demonstrations import archives
from evil.errors import UserError


def module() -> Any:
    """The h5py package, which is optional."""
    try:
        import h5py
    except ImportError:
        raise UserError("HDF5 files need the h5py package: pip install 'evil[hdf5]'") from None
    return h5py


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file's root group; UserError for what is no HDF5 file, or breaks while it is read."""
    h5py = module()
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"{path}: may not be read ({error.strerror}).") from error
    except Exception as error:  # parsers of hostile bytes raise anything
        raise UserError(f"{path}: not an HDF5 file, or a truncated or damaged one.") from error


class Reader:
    """Reads arrays of one file, of which all together must be of a bearable size."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left = archives.MAX_BYTES

    def array(
        self, group: Any, name: str, row: tuple[int, ...] = (), *, steps: int | None = None
    ) -> np.ndarray:
        """The array called `name`, as bool, int32 or float32.

        It has rows of shape `row`, and `steps` of them, if that is given.
        """
        where = f"{group.name.rstrip('/')}/{name}"
        found = self.entry(group, name)
        if found is None:
            raise UserError(f"{self.path}: expected an array {where}, found none.")
        if not isinstance(found, module().Dataset):
            raise UserError(f"{self.path}: expected an array {where}, found a group.")
        if found.external or found.is_virtual:
            raise UserError(f"{self.path}: {where} lies in another file, which is never read.")
        if found.dtype.kind not in "biuf":
            raise UserError(f"{self.path}: {where} has dtype {found.dtype}, expected numbers.")
        self.left -= math.prod(found.shape) * max(found.dtype.itemsize, 4)
        if self.left < 0:
            raise UserError(
                f"{self.path}: its arrays take more than {archives.MAX_BYTES} bytes by {where}."
            )
        wanted = (found.shape[:1] if steps is None else (steps,)) + row
        if not found.shape or found.shape != wanted:
            raise UserError(f"{self.path}: {where} has shape {found.shape}, expected {wanted}.")
        return _plain(found[()])

    def entry(self, group: Any, name: str) -> Any:
        """What a group holds under a name, None for nothing; no way out of the file is taken."""
        link = group.get(name, getlink=True)
        if link is None:
            return None
        if isinstance(link, module().ExternalLink):
            raise UserError(f"{self.path}: {name} lies in another file, which is never read.")
        return group.get(name)


def _plain(array: np.ndarray) -> np.ndarray:
    """Truth, whole numbers or floats, in the types that demonstrations have."""
    kind = array.dtype.kind
    if kind == "b":
        return array
    return array.astype(np.float32 if kind == "f" else np.int32)
