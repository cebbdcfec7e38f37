"""Reading an `.npz` from a stranger: every size, dtype and shape is known before it is believed.

An `.npz` is a zip of `.npy` members, each a short header and raw bytes. `numpy.load` would accept
any names, allocate whatever a header asks for and inflate without limit; this reader accepts the
members it expects, and checks what they claim before a single array is materialised.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from evil.errors import UserError

MAX_BYTES = 2 * 1024**3  # uncompressed, all members together
MAX_RATIO = 200  # uncompressed to compressed, beyond FREE_BYTES; zip bombs reach 1000 and more
FREE_BYTES = 16 * 1024**2  # constant arrays compress without limit, and this much harms nobody


def read(
    path: Path,
    dtypes: Mapping[str, Sequence[str]],
    wanted: Sequence[str] | None = None,
    *,
    optional: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """The arrays `wanted` (all if None) of an archive with exactly the members of `dtypes`.

    Those that are `optional` may be absent.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive, set(dtypes), set(optional))
            there = set(archive.namelist())
            names = wanted or [name for name in dtypes if f"{name}.npy" in there]
            return {name: _array(path, archive, name, dtypes[name]) for name in names}
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"{path}: may not be read ({error.strerror}).") from error
    except Exception as error:  # zip, zlib, tokenizer: parsers of hostile bytes raise anything
        raise UserError(f"{path}: not an .npz archive, or a truncated or damaged one.") from error


def _check_members(
    path: Path, archive: zipfile.ZipFile, names: set[str], optional: set[str]
) -> None:
    members = archive.infolist()
    found = sorted(member.filename.removesuffix(".npy")[:40] for member in members)
    if found != sorted(names - (optional - set(found))):
        shown = ", ".join(found[:8]) + (", …" if len(found) > 8 else "")
        expected = ", ".join(sorted(names))
        raise UserError(f"{path}: expected the arrays {expected}, found {shown or 'none'}.")
    total = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if total > MAX_BYTES or total > max(FREE_BYTES, MAX_RATIO * packed):
        raise UserError(
            f"{path}: {packed} bytes would unpack to {total}, expected at most {MAX_BYTES} bytes "
            f"and {MAX_RATIO} times the packed size."
        )


def _array(path: Path, archive: zipfile.ZipFile, name: str, dtypes: Sequence[str]) -> np.ndarray:
    with archive.open(f"{name}.npy") as stream:
        shape, fortran_order, dtype = _npy_header(path, name, stream)
        if dtype.hasobject:
            raise UserError(f"{path}: {name} holds pickled Python objects, which are never loaded.")
        if str(dtype) not in dtypes:
            raise UserError(f"{path}: {name} has dtype {dtype}, expected {' or '.join(dtypes)}.")
        size = archive.getinfo(f"{name}.npy").file_size - stream.tell()
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
            raise UserError(f"{path}: {name} claims shape {shape}, which {size} bytes do not fill.")
        content = np.frombuffer(stream.read(), dtype)
    return content.reshape(shape, order="F" if fortran_order else "C")


def _npy_header(path: Path, name: str, stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    if np.lib.format.read_magic(stream) != (1, 0):  # later versions allow headers of 4 GiB
        raise UserError(f"{path}: {name} is not an array in version 1.0 of the .npy format.")
    return np.lib.format.read_array_header_1_0(stream)
