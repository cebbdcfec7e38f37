"""Ways in which a file can be wrong, on purpose or not, drawn from a generator."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import struct
import zipfile
from typing import Any

import numpy as np

Generator = np.random.Generator

VALUES = (
    None, True, -1, 0, 2**31, 2**63, 10**40, -0.5, 1e308, float("nan"), float("inf"), "", "evil",
    "os.path", "evil.running.command", "__import__('os').system('exit 0')", "../../x",
    "\x00", "x" * 5000, [], [[]], {}, {"type": 3}, {"type": "evil.learners.ppo"}, {"type": "os"},
)  # fmt: skip


class Executed:
    """What runs a command as soon as it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("exit 0",)


def garbled(generator: Generator, content: bytes) -> bytes:
    """Bytes with a few of them flipped, cut out, repeated, or replaced by noise."""
    data = bytearray(content)
    for _ in range(generator.integers(1, 5)):
        start = int(generator.integers(len(data) + 1))
        end = min(len(data), start + int(generator.integers(1, 64)))
        kind = generator.integers(6)
        if kind == 0 and start < len(data):
            data[start] ^= 1 << int(generator.integers(8))
        elif kind == 1:
            del data[start:end]
        elif kind == 2:
            data[start:start] = data[start:end]
        elif kind == 3:
            data[start:end] = generator.bytes(end - start)
        elif kind == 4:
            del data[start:]
        else:
            # Lengths and offsets are such numbers.
            number = int(generator.choice([0, 2**16 - 1, 2**31 - 1, 2**32 - 1]))
            data[start : start + 4] = struct.pack("<I", number)
    return bytes(data)


def distorted(generator: Generator, value: Any) -> Any:
    """Plain data in which one place holds something else, is missing, or is named otherwise."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return _drawn(generator)
    holder, key = places[generator.integers(len(places))]
    kind = generator.integers(4)
    if kind < 2:
        holder[key] = _drawn(generator)
    elif kind == 2:
        del holder[key]
    elif isinstance(holder, dict):
        holder[str(_drawn(generator))[:50]] = holder.pop(key)
    else:
        holder.insert(key, _drawn(generator))
    return value


def archive(generator: Generator, content: bytes) -> bytes:
    """An `.npz` of which one member is garbled, renamed, missing, twice there, or inflated."""
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        members = [(info.filename, found.read(info)) for info in found.infolist()]
    index = int(generator.integers(len(members)))
    name, inner = members[index]
    kind = generator.integers(8)
    if kind == 0:
        members[index] = (str(generator.choice(["../x.npy", "/x.npy", "x", "", "a/b.npy"])), inner)
    elif kind == 1:
        del members[index]
    elif kind == 2:
        members.append((f"{name}2", inner))
    elif kind == 3:
        members[index] = (name, inner + bytes(32 * 1024**2))
    elif kind == 4 and name == "header.npy":
        header = distorted(generator, json.loads(np.load(io.BytesIO(inner)).tobytes()))
        members[index] = (name, saved(np.frombuffer(json.dumps(header).encode(), np.uint8)))
    elif kind == 5:
        hostile = np.array([Executed()], object) if generator.integers(2) else np.zeros(3, "S4")
        members[index] = (name, saved(hostile))
    else:
        # The first bytes are the header of the array; garbage in the rest is only wrong numbers.
        length = 128 if generator.integers(2) else len(inner)
        members[index] = (name, garbled(generator, inner[:length]) + inner[length:])
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, inner in members:
            made.writestr(zipfile.ZipInfo(name or "."), inner, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def safetensors(generator: Generator, content: bytes) -> bytes:
    """A safetensors file whose header says something else, or whose length of it does."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    if generator.integers(8) == 0:
        claimed = int(generator.choice([0, 1, length - 1, length + 1, 2**40, 2**63 - 1]))
        return struct.pack("<Q", claimed) + content[8:]
    if "__metadata__" in header and generator.integers(3) == 0:
        meta = distorted(generator, json.loads(header["__metadata__"]["meta"]))
        header["__metadata__"]["meta"] = json.dumps(meta)
    else:
        header = distorted(generator, header)
    described = json.dumps(header).encode()
    return struct.pack("<Q", len(described)) + described + content[8 + length :]


def line(generator: Generator, content: bytes) -> bytes:
    """A file of JSON lines, one of which says something else."""
    lines = content.splitlines(True)
    index = int(generator.integers(len(lines)))
    lines[index] = json.dumps(distorted(generator, json.loads(lines[index]))).encode() + b"\n"
    return b"".join(lines)


def pickled(generator: Generator, content: bytes) -> bytes:
    """A pickle in which one value runs a command."""
    found = pickle.loads(content)
    found[generator.choice(sorted(found))] = Executed()
    return pickle.dumps(found, protocol=int(generator.integers(6)))


def saved(array: np.ndarray) -> bytes:
    """An array as the content of an `.npy`; objects are pickled, as a stranger would."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _drawn(generator: Generator) -> Any:
    return copy.deepcopy(VALUES[generator.integers(len(VALUES))])


def _places(value: Any) -> Any:
    """Every (holder, key) in nested dicts and lists."""
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])
