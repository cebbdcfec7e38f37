"""Arrays out of a pickle, without unpickling: its opcodes are read here, and nothing is called.

A pickle is a program for a stack machine, two of whose instructions call any function by name. This
reader interprets the rest, and knows a handful of names: those by which numpy and JAX say that
bytes are an array. What they would do is done here, on bytes that are there; any other name, and
any opcode that plain data do not need, is refused.
"""

from __future__ import annotations

import dataclasses
import math
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from evil.errors import UserError

MAX_BYTES = 512 * 1024**2
MAX_OPCODES = 1_000_000  # each may make an object of a hundred bytes
MAX_DIMS = 16

ARRAYS = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
NAMES = {  # module and name -> what is done instead of calling it
    **{(module, "_reconstruct"): "array" for module in ARRAYS[1:]},
    **{(module, "scalar"): "scalar" for module in ARRAYS[1:]},
    **{(module, "_frombuffer"): "buffer" for module in NUMERIC},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("jax._src.array", "_reconstruct_array"): "jax",
    ("flax.core.frozen_dict", "FrozenDict"): "dict",
    ("_codecs", "encode"): "bytes",  # protocols below 3 have no bytes of their own
    ("__builtin__", "bytes"): "bytes",
}


@dataclasses.dataclass(frozen=True)
class Name:
    """One of NAMES, by what it does."""

    does: str


@dataclasses.dataclass
class Array:
    """An array that is announced, and then filled by the state that follows."""

    value: np.ndarray | None = None


@dataclasses.dataclass
class Dtype:
    """A dtype of numbers; its byte order follows."""

    code: str
    order: str = "="

    @property
    def numpy(self) -> np.dtype:
        return np.dtype(self.order.replace("|", "=") + self.code)


MARK = object()


class Refused(Exception):
    """What is wrong with a pickle."""


def read(path: Path) -> dict[str, Any]:
    """The dict in a file: arrays as arrays, numbers, text, and whatever else was nested in it.

    UserError for what is not a pickle of a dict of plain data and arrays, or larger than 512 MiB.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise UserError(f"{path}: expected at most {MAX_BYTES} bytes, found {size}.")
    try:
        found = Machine(size).run(path.read_bytes())
    except PermissionError as error:
        raise UserError(f"{path}: may not be read ({error.strerror}).") from error
    except Refused as error:
        raise UserError(f"{path}: {error}.") from error
    except Exception as error:  # a parser of hostile bytes raises anything
        raise UserError(f"{path}: not a pickle, or a truncated or damaged one.") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected a dict of arrays, found {type(found).__name__.lower()}.")
    return {
        name: value.value if isinstance(value, Array) else value
        for name, value in found.items()
        if isinstance(name, str)
    }


class Machine:
    """The stack, the memo, and the bytes that may still be copied."""

    def __init__(self, size: int) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.left = 2 * size + 1024

    def run(self, content: bytes) -> Any:
        """What the program leaves on its stack."""
        for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if number >= MAX_OPCODES:
                raise Refused(f"more than {MAX_OPCODES} instructions are not executed")
            if opcode.name == "STOP":
                break
            self.step(opcode.name, argument)
        (value,) = self.stack
        return value

    def step(self, name: str, argument: Any) -> None:
        """Do what one opcode says."""
        if name in PUSHED:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name]())
        elif name in ACTIONS:
            ACTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise Refused(f"plain data and arrays need no opcode {name}")

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is MARK:
            raise Refused("an instruction lacks its operands")
        return value

    def to_mark(self) -> list[Any]:
        """What lies above the last mark, taken off together with it."""
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is MARK:
                found = self.stack[index + 1 :]
                del self.stack[index:]
                return found
        raise Refused("an instruction lacks its mark")

    def charge(self, size: int) -> None:
        """Give out memory, of which there is as much as a few copies of the file need."""
        self.left -= size
        if self.left < 0:
            raise Refused("it would take more memory than its own size")


def _memoise(machine: Machine, key: int) -> None:
    machine.memo[key] = machine.stack[-1]


def _tuple(machine: Machine, count: int) -> None:
    items = [machine.pop() for _ in range(count)]
    machine.stack.append(tuple(reversed(items)))


def _extend(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, list):
        raise Refused("what is no list is appended to")
    target.extend(items)


def _set(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, dict):
        raise Refused("what is no dict is given entries")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Of nested tuples a hash takes time exponential in their depth.
        if not isinstance(key, (str, int)):
            raise Refused(f"a key is {type(key).__name__.lower()}, expected text or a number")
        target[key] = value


def _global(machine: Machine, module: Any, name: Any) -> None:
    does = NAMES.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
    if does is None:
        shown = f"{module}.{name}" if isinstance(module, str) else "something unnamed"
        raise Refused(f"it asks for {shown[:80]!r}, and only arrays are admitted")
    machine.stack.append(Name(does))


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    _global(machine, module, name)


def _reduce(machine: Machine) -> None:
    arguments, called = machine.pop(), machine.pop()
    if not isinstance(called, Name) or not isinstance(arguments, tuple):
        raise Refused("it calls what is no name")
    machine.stack.append(_made(machine, called.does, arguments))


def _made(machine: Machine, does: str, arguments: tuple[Any, ...]) -> Any:
    """What a call of one of NAMES stands for."""
    if does == "array" and arguments[0] == Name("ndarray"):
        return Array()
    if does == "dtype":
        code = arguments[0]
        if not isinstance(code, str) or not re.fullmatch(r"b1|[iu][1248]|f[248]", code):
            raise Refused(f"an array is of dtype {str(code)[:20]!r}, expected numbers")
        return Dtype(code)
    if does == "scalar":
        dtype, content = arguments
        return _array(machine, (), dtype, False, content)[()]
    if does == "buffer":
        content, dtype, shape, order = arguments
        return Array(_array(machine, shape, dtype, order == "F", content))
    if does == "jax":
        _, _, state, _ = arguments
        return Array(_of_state(machine, state))
    if does == "dict" and len(arguments) == 1 and isinstance(arguments[0], dict):
        return arguments[0]
    if does == "bytes":
        return _bytes(machine, *arguments)
    raise Refused(f"a call that should make {does} has other arguments")


def _bytes(machine: Machine, text: Any = "", codec: Any = "latin1") -> bytes:
    """What text of one byte a letter stands for."""
    if not isinstance(text, str) or codec != "latin1":
        raise Refused("a call that should make bytes has other arguments")
    machine.charge(len(text))
    return text.encode("latin1")


def _build(machine: Machine) -> None:
    state, target = machine.pop(), machine.stack[-1]
    if isinstance(target, Array) and target.value is None:
        target.value = _of_state(machine, state)
    elif isinstance(target, Dtype) and isinstance(state, tuple) and state[1] in ("<", ">", "|"):
        if any(part is not None for part in state[2:5]):
            raise Refused("an array has fields, expected numbers")
        target.order = state[1]
    else:
        raise Refused("it fills what is no array")


def _of_state(machine: Machine, state: Any) -> np.ndarray:
    if not isinstance(state, tuple) or len(state) != 5:
        raise Refused("an array lacks its description")
    _, shape, dtype, is_fortran, content = state
    return _array(machine, shape, dtype, is_fortran, content)


def _array(machine: Machine, shape: Any, dtype: Any, is_fortran: Any, content: Any) -> np.ndarray:
    """Bytes as an array, which shares them."""
    if not isinstance(dtype, Dtype) or not isinstance(content, (bytes, bytearray)):
        raise Refused("an array holds objects, expected numbers")
    whole = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    if not whole or len(shape) > MAX_DIMS:
        raise Refused("an array has no shape")
    size = math.prod(shape) * dtype.numpy.itemsize
    if size != len(content):
        raise Refused(f"an array claims shape {shape}, which {len(content)} bytes do not fill")
    machine.charge(200)
    return np.frombuffer(content, dtype.numpy).reshape(shape, order="F" if is_fortran else "C")


PUSHED = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "MARK": lambda: MARK,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
ACTIONS: dict[str, Callable[[Machine, Any], None]] = {
    "POP": lambda machine, _: machine.stack.pop() and None,
    "MEMOIZE": lambda machine, _: _memoise(machine, len(machine.memo)),
    "BINPUT": _memoise,
    "LONG_BINPUT": _memoise,
    "BINGET": lambda machine, key: machine.stack.append(machine.memo[key]),
    "LONG_BINGET": lambda machine, key: machine.stack.append(machine.memo[key]),
    "TUPLE1": lambda machine, _: _tuple(machine, 1),
    "TUPLE2": lambda machine, _: _tuple(machine, 2),
    "TUPLE3": lambda machine, _: _tuple(machine, 3),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.to_mark())),
    "APPEND": lambda machine, _: _extend(machine, [machine.pop()]),
    "APPENDS": lambda machine, _: _extend(machine, machine.to_mark()),
    "SETITEM": lambda machine, _: _set(machine, [machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: _set(machine, machine.to_mark()),
    "GLOBAL": lambda machine, text: _global(machine, *text.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: _stack_global(machine),
    "REDUCE": lambda machine, _: _reduce(machine),
    "BUILD": lambda machine, _: _build(machine),
}
