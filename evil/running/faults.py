"""A lane that broke, kept as it was before: a file that shows the fault again.

    <run>/faults/<phase>-<lane>.safetensors

holds the lane's state, key included, at the beginning of the chunk in which a number ceased to be
finite. Config and data are those of the run around it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from evil.errors import UserError
from evil.running import leaves, weights
from evil.running.checkpoints import Checkpoints
from evil.running.directory import RunDirectory
from evil.running.phase import Frozen, Phase
from evil.seams import PyTree

FOLDER = "faults"
MOST = 8  # files of a phase: where more lanes break, they break alike


@dataclasses.dataclass(frozen=True)
class Fault:
    """What a file says of a fault."""

    path: Path
    phase: str
    lane: int
    start: int  # the iteration after which the state is
    iteration: int  # in which the fault was met
    metric: str  # or the leaf of the state, that was not finite

    @property
    def run(self) -> Path:
        """The run directory around the file."""
        return self.path.absolute().parents[1]


class Found(Exception):
    """The phase that a replay was looking for, ready to begin."""

    def __init__(self, phase: Phase) -> None:
        super().__init__(phase.name)
        self.phase = phase


def record(
    directory: RunDirectory, phase: Phase, start: int, entry: Frozen, states: PyTree
) -> Path | None:
    """Write a lane's state before the fault; `states` are the last good ones of all lanes.

    None if there are enough files already, or a file cannot be written: the others go on.
    """
    if len(list((directory.path / FOLDER).glob(f"{phase.name}-*{weights.SUFFIX}"))) >= MOST:
        return None
    lane = jax.tree.map(lambda x: x[entry.lane], states)
    fault = {"phase": phase.name, "lane": entry.lane, "start": start}
    with contextlib.suppress(UserError):
        return weights.save(
            directory.path / FOLDER / f"{phase.name}-{entry.lane}",
            jax.tree.map(_stored, lane),
            fault | {"iteration": entry.iteration, "metric": entry.metric},
        )
    return None


def read(path: str | Path) -> Fault:
    """What a file says of itself; UserError if it is not one of `record`'s."""
    path = Path(path)
    meta = weights.describe(path)
    try:
        fault = Fault(
            path=path,
            phase=str(meta["phase"]),
            lane=int(meta["lane"]),
            start=int(meta["start"]),
            iteration=int(meta["iteration"]),
            metric=str(meta["metric"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not the file of a lane that broke.") from error
    if not 0 <= fault.start < fault.iteration or fault.lane < 0:
        raise UserError(
            f"{path}: expected iterations in order, found {fault.start} to {fault.iteration}."
        )
    return fault


def seek(fault: Fault, phase: Phase) -> None:
    """To be told of every phase of the run, in order: raises `Found` at the one that broke.

    UserError for a phase before it that has not been finished, which would have to be run first.
    """
    if phase.name == fault.phase:
        raise Found(phase)
    saved = Checkpoints(fault.run / "checkpoints" / phase.name).newest()
    if saved is None or not saved.position.get("complete"):
        raise UserError(
            f"{fault.run} has not finished its phase {phase.name}, on which {fault.phase} rests: "
            "resume it first."
        )


def again(fault: Fault, phase: Phase) -> Iterator[tuple[int, str]]:
    """Each iteration from the file on, and the first quantity in it that is not finite, or ''."""
    states = phase.states
    if fault.lane >= phase.lanes or fault.iteration > phase.iterations:
        raise UserError(
            f"{fault.path} is of lane {fault.lane}, iteration {fault.iteration}: expected one of "
            f"{phase.lanes} lanes and {phase.iterations} iterations."
        )
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), states)
    stored, _ = weights.load(fault.path, jax.eval_shape(lambda: jax.tree.map(_zeros, like)))
    state = jax.tree.map(_restored, like, stored)
    data = phase.data_of(fault.lane)
    step = jax.jit(phase.algorithm.step)
    for iteration in range(fault.start + 1, fault.iteration + 1):
        state, metrics = step(state, data)
        yield iteration, _broken(state, metrics)


def _broken(state: PyTree, metrics: dict[str, jax.Array]) -> str:
    for name, value in metrics.items():
        if not jnp.isfinite(value):
            return name
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and not jnp.isfinite(leaf).all():
            return f"state{jax.tree_util.keystr(path)}"
    return ""


def _stored(leaf: Any) -> jax.Array:
    return jax.random.key_data(leaf) if leaves.is_key(leaf) else leaf


def _zeros(leaf: Any) -> jax.Array:
    """Zeros of the shape in which a leaf is stored."""
    if leaves.is_key(leaf):
        return jnp.zeros(leaf.shape + jax.random.key_data(jax.random.key(0)).shape, jnp.uint32)
    return jnp.zeros(leaf.shape, leaf.dtype)


def _restored(like: Any, leaf: jax.Array) -> jax.Array:
    return jax.random.wrap_key_data(leaf) if leaves.is_key(like) else leaf
