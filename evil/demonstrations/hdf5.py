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
        self,
        group: Any,
        name: str,
        row: tuple[int, ...] = (),
        *,
        steps: int | None = None,
        dtype: str = "float32",
    ) -> np.ndarray:
        """The array called `name`, as `dtype`: float32, int32 or bool.

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
        size = math.prod(found.shape) * max(found.dtype.itemsize, 4)
        stored = found.id.get_storage_size()
        self.left -= size
        if self.left < 0 or size > max(archives.FREE_BYTES, archives.MAX_RATIO * stored):
            raise UserError(
                f"{self.path}: {where} would take {size} bytes, of which {stored} are stored: "
                f"expected {archives.MAX_BYTES} in all at most, {archives.MAX_RATIO} times that."
            )
        wanted = (found.shape[:1] if steps is None else (steps,)) + row
        if not found.shape or found.shape != wanted:
            raise UserError(f"{self.path}: {where} has shape {found.shape}, expected {wanted}.")
        array = found[()]
        if dtype == "int32":
            return self._whole(where, array)
        return array.astype(dtype)

    def has(self, group: Any, name: str) -> bool:
        return self.entry(group, name) is not None

    def entry(self, group: Any, name: str) -> Any:
        """What a group holds under a name, None for nothing; no way out of the file is taken."""
        link = group.get(name, getlink=True)
        if link is None:
            return None
        # A soft link may lead to an external one further on.
        if not isinstance(link, module().HardLink):
            raise UserError(f"{self.path}: {name} is a link, which may lead to another file.")
        return group.get(name)

    def _whole(self, where: str, array: np.ndarray) -> np.ndarray:
        """Whole numbers as int32, of which none is changed."""
        if array.dtype.kind not in "iu":
            raise UserError(f"{self.path}: {where} has dtype {array.dtype}, expected integers.")
        if array.size and not (array.min() >= -(2**31) and array.max() < 2**31):
            raise UserError(f"{self.path}: {where} goes beyond 32 bits.")
        return array.astype(np.int32)
