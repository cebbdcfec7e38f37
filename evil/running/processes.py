"""One run in several processes, each with devices of its own: all compute, the first one writes.

    JAX_COORDINATOR_ADDRESS=host:port JAX_NUM_PROCESSES=N JAX_PROCESS_ID=0..N-1

in the environment of each say that they belong together; the tasks of a Slurm step know it without.
All processes run the same program in the same order. Whatever depends on one of them alone (its
clock, its files, a signal that it got) is agreed upon here, so that all take the same way.
With a single process nothing here computes or waits.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from evil.errors import UserError
from evil.running import files, leaves
from evil.seams import PyTree

VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
SLURM_TASKS = "SLURM_STEP_NUM_TASKS"  # set by srun alone, so not for a shell of salloc

T = TypeVar("T")


class Elsewhere(UserError):
    """What another process has refused, which says so itself."""


def asked_for(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment says that this process is one of several."""
    if any(name in environment for name in VARIABLES):
        return True
    tasks = environment.get(SLURM_TASKS, "")
    return tasks.isdecimal() and int(tasks) > 1


def join(environment: Mapping[str, str] = os.environ) -> None:
    """Wait for the other processes of the run; before JAX has its devices.

    UserError for an incomplete or impossible environment, or if the others do not come.
    """
    arguments: dict[str, Any] = {}
    if any(name in environment for name in VARIABLES):
        if missing := [name for name in VARIABLES if not environment.get(name)]:
            raise UserError(f"of several processes, {', '.join(missing)} must be set, too.")
        address, *numbers = (environment[name] for name in VARIABLES)
        if not address.rpartition(":")[2].isdecimal() or ":" not in address:
            raise UserError(f"{VARIABLES[0]} is {address!r}: expected host:port.")
        if not all(number.isdecimal() for number in numbers):
            raise UserError(f"{VARIABLES[1]} and {VARIABLES[2]} must be whole numbers.")
        total, own = map(int, numbers)
        if own >= total:
            raise UserError(f"{VARIABLES[2]} is {own}: expected less than {VARIABLES[1]}={total}.")
        arguments = {"coordinator_address": address, "num_processes": total, "process_id": own}
        arguments["cluster_detection_method"] = "deactivate"
    # Its handler of SIGTERM would take the place of ours, which saves before it stops.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(**arguments)
    except (RuntimeError, ValueError) as error:  # JaxRuntimeError is a RuntimeError
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"the processes of this run did not come together: {reason}") from error


def count() -> int:
    """How many processes carry out this run."""
    return jax.process_count()


def is_first() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def least(value: int) -> int:
    """The smallest of what all processes have."""
    return int(_gathered(np.int64(value)).min()) if count() > 1 else value


def anybody(flag: bool) -> bool:
    """Whether it is true of any process."""
    return bool(_gathered(np.bool_(flag)).any()) if count() > 1 else flag


def first(function: Callable[[], T]) -> T:
    """What `function` returns in the first process, where alone it is called.

    It returns plain data. A UserError there is one everywhere.
    """
    if count() == 1:
        return function()
    refusal: UserError | None = None
    answer: dict[str, Any] = {}
    if is_first():
        try:
            answer = {"value": files.plain(function())}
        except UserError as error:
            refusal, answer = error, {"error": str(error)}
    answer = json.loads(_told(json.dumps(answer).encode()))
    if refusal is not None:
        raise refusal
    if "error" in answer:
        raise Elsewhere(answer["error"])
    return answer["value"]


def arrays_of_first(tree: PyTree, like: PyTree) -> PyTree:
    """The arrays that the first process has, on the host of each; keys stay keys.

    `like` has their structure, shapes and types everywhere; of `tree` the others have nothing.
    """
    if count() == 1:
        return tree
    shapes, structure = jax.tree.flatten(like)
    own = structure.flatten_up_to(tree) if is_first() else shapes
    return structure.unflatten([_leaf_of_first(*pair) for pair in zip(own, shapes, strict=True)])


def _leaf_of_first(leaf: Any, like: Any) -> Any:
    shape, dtype = like.shape, like.dtype
    if key := leaves.is_key(like):
        data = jax.eval_shape(jax.random.key_data, like)
        shape, dtype = data.shape, data.dtype
    content = b""
    if is_first():
        content = np.asarray(jax.random.key_data(leaf) if key else leaf).tobytes()
    # As bytes: a sum over processes would make +0 of -0.
    array = np.frombuffer(_told(content), jnp.dtype(dtype)).reshape(shape)
    return jax.random.wrap_key_data(jnp.asarray(array)) if key else array


def _told(content: bytes) -> bytes:
    """The first process's bytes."""
    from jax.experimental import multihost_utils

    size = int(_gathered(np.int64(len(content)))[0])
    # Powers of two, because every length is a program of its own.
    block = np.zeros(1 << max(size - 1, 1).bit_length(), np.uint8)
    if is_first():
        block[:size] = np.frombuffer(content, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(block))[:size].tobytes()


def _gathered(value: np.generic) -> np.ndarray:
    """A number of each process: `[N]`. As bytes, because JAX would make 32 bits of 64."""
    from jax.experimental import multihost_utils

    block = np.frombuffer(value.tobytes(), np.uint8)
    found = np.asarray(multihost_utils.process_allgather(block))
    return found.reshape(count(), -1).view(value.dtype)[:, 0]
