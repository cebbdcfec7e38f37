"""A lane that broke, kept as it was before: a file that shows the fault again.

    <run>/faults/<phase>-<lane>.safetensors

holds the lane's state, key included, before the step in which a number ceased to be finite, and the
config of the run. Data are what that config says they are: read from the run around the file, or,
where the file is alone, computed again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evil.errors import UserError
from evil.running import files, lanes, leaves, mesh, processes, weights
from evil.running.checkpoints import Checkpoints
from evil.running.directory import RunDirectory
from evil.running.phase import Frozen, Phase
from evil.running.session import Session
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
    config: dict[str, Any]  # of the run
    cuts: dict[str, Any]  # how many lanes of each phase ran at a time

    @property
    def run(self) -> RunDirectory | None:
        """The run around the file; None if the file is alone, or with a run of another config."""
        around = RunDirectory(self.path.absolute().parent.parent)
        is_its_own = around.config.is_file() and around.read_config() == self.config
        return around if is_its_own else None

    @contextlib.contextmanager
    def directory(self) -> Iterator[RunDirectory]:
        """The run around the file, or a new one for as long as this lasts."""
        if (around := self.run) is not None:
            yield around
            return
        with tempfile.TemporaryDirectory() as folder:
            made = RunDirectory.create(folder, self.config)
            files.write_json(made.cuts, self.cuts)
            yield made


class Found(Exception):
    """The phase that a replay was looking for, ready to begin."""

    def __init__(self, phase: Phase) -> None:
        super().__init__(phase.name)
        self.phase = phase


def record(
    session: Session,
    phase: Phase,
    programs: lanes.Programs,
    start: int,
    broken: Sequence[Frozen],
    states: PyTree,
) -> None:
    """Write a file for each lane that broke in the chunk after `start`.

    `states` are those after the chunk; of lanes that broke, those before it. There are at most
    `MOST` files, and what cannot be written is only said: the other lanes go on.
    """
    broken = broken[: processes.first(lambda: _room(session, phase))]
    try:
        found = list(_last_finite(phase, programs, start, broken, states))
    except jax.errors.JaxRuntimeError as error:
        if not lanes.is_exhausted(error):
            raise
        session.progress.note(f"{phase.name}: too little memory is left to keep how lanes broke.")
        return
    for entry, healthy, state in found:
        write = functools.partial(_write, session, phase, entry, start + healthy, state)
        processes.first(write)


def _room(session: Session, phase: Phase) -> int:
    if session.directory is None:
        return 0
    folder = session.directory.path / FOLDER
    return max(0, MOST - len(list(folder.glob(f"{phase.name}-*{weights.SUFFIX}"))))


def _last_finite(
    phase: Phase, programs: lanes.Programs, start: int, broken: Sequence[Frozen], states: PyTree
) -> Iterator[tuple[Frozen, int, PyTree]]:
    """Each lane that broke, its last good iteration from `start` on, and its state after that.

    By bisection, with the programs that met the fault: the state is the very one that broke.
    """
    before = mesh.whole(states)
    good = {entry: (0, _lane(before, entry)) for entry in broken}
    bad = {entry: entry.iteration - start for entry in broken}
    alive = np.isin(np.arange(phase.lanes), [entry.lane for entry in broken])
    while steps := max((bad[entry] - good[entry][0] for entry in broken), default=1) // 2:
        widest = max(broken, key=lambda entry: bad[entry] - good[entry][0])
        count = good[widest][0] + steps
        reached, healthy, *_ = programs.advance(states, phase.data, alive, np.int32(count))
        healthy, reached = jax.device_get(healthy), mesh.whole(reached)
        for entry in broken:
            if good[entry][0] < count < bad[entry]:
                if healthy[entry.lane]:
                    good[entry] = count, _lane(reached, entry)
                else:
                    bad[entry] = count
        del reached  # or there would be three of them in memory
    for entry, (count, state) in good.items():
        yield entry, count, state


def _lane(states: PyTree, entry: Frozen) -> PyTree:
    return jax.tree.map(lambda x: _stored(x[entry.lane]), states)


def _write(session: Session, phase: Phase, entry: Frozen, start: int, state: PyTree) -> None:
    assert session.directory is not None
    path = session.directory.path / FOLDER / f"{phase.name}-{entry.lane}"
    cuts = session.directory.cuts
    try:
        meta = {
            "phase": phase.name,
            **dataclasses.asdict(entry),
            "start": start,
            "config": session.directory.read_config(),
            "cuts": files.read_json(cuts) if cuts.is_file() else {},
        }
        weights.save(path, state, meta)
    except UserError as error:
        session.progress.note(
            f"{phase.name}: lane {entry.lane} leaves no file of its fault: {error}"
        )


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
            config=dict(meta["config"]),
            cuts=dict(meta["cuts"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path} is not the file of a lane that broke.") from error
    if not 0 <= fault.start < fault.iteration or fault.lane < 0:
        raise UserError(
            f"{path}: expected iterations in order, found {fault.start} to {fault.iteration}."
        )
    return fault


def seek(fault: Fault, phase: Phase) -> None:
    """To be told of every phase of the run, in order: raises `Found` at the one that broke.

    UserError for a phase before it that the run around the file has not finished. A file that is
    alone lets those be run.
    """
    if phase.name == fault.phase:
        raise Found(phase)
    if (around := fault.run) is None:
        return
    saved = Checkpoints(around.checkpoints / phase.name).newest()
    if saved is None or not saved.position.get("complete"):
        raise UserError(
            f"{around.path} has not finished its phase {phase.name}, on which {fault.phase} rests: "
            f"resume it first, or copy {fault.path} elsewhere to run that phase again."
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
