"""Files from strangers: read, or refused in one sentence, whatever is in them.

Each reader meets hundreds of files that were well made and then mutated; with `--runslow`, ten
thousand. What is refused raises `UserError`, and nothing else; nothing that a file says is executed
or believed before it is checked, so memory does not depend on what it claims.
"""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import resource
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import pytest

from evil import demonstrations
from evil.config import from_dict, to_dict
from evil.demonstrations import files, minari
from evil.errors import UserError
from evil.experiments import clone
from evil.experiments.shared import artefacts
from evil.networks import actor_critic
from evil.rewards import ensemble
from evil.running import checkpoints, faults, sinks, weights
from evil.running import files as running_files
from evil.running.checkpoints import Checkpoints
from evil.running.directory import RunDirectory
from evil.seams import Spec
from plotting import runs
from tests.hostile import mutations

ROOT = Path(__file__).resolve().parents[2]
SPEC = Spec(name="cart", obs_shape=(2,), time_limit=9, num_actions=3)
MEMORY = 300 * 1024**2  # bytes by which reading may grow the process
LIKE = {
    "kernel": jax.ShapeDtypeStruct((2, 3), np.float32),
    "count": jax.ShapeDtypeStruct((), np.int32),
}


@dataclasses.dataclass(frozen=True)
class Reader:
    """A well-made file, how it is spoiled, and who reads it."""

    make: Callable[[Path], Path]  # folder -> the file
    spoil: tuple[Callable[[np.random.Generator, bytes], bytes], ...]
    read: Callable[[Path], Any]


def make_demonstrations(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    demos = demonstrations.from_episodes(
        [{"obs": rng.normal(size=(5, 2)), "action": rng.integers(3, size=4)} for _ in range(2)]
    )
    return files.save(folder / "demos.npz", demos, SPEC, {"expert": "ppo"})


def make_minari(folder: Path) -> Path:
    demos, _ = files.load(make_demonstrations(folder), SPEC)
    return minari.save(folder / "data-v0", demos, SPEC, name="data-v0") / "data" / minari.FILE


def make_pickle(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    expert = {
        "expert_obsv": rng.normal(size=(2, 4, 2)).astype(np.float32),
        "expert_actions": rng.integers(3, size=(4, 2)).astype(np.int32),
        "expert_rewards": np.zeros((4, 2)),
        "expert_dones": np.zeros((4, 2), bool),
    }
    (folder / "expert.pkl").write_bytes(pickle.dumps(expert))
    return folder / "expert.pkl"


def make_weights(folder: Path) -> Path:
    tree = {"kernel": np.ones((2, 3), np.float32), "count": np.int32(3)}
    return weights.save(folder / "weights", tree, {"kind": "policy", "hidden": [64]})


def make_policy(folder: Path) -> Path:
    config = actor_critic.Config(hidden=(4,))
    meta = {
        "kind": "policy", "config": to_dict(config), "env": "gridworld", "backend": "",
    }  # fmt: skip
    return weights.save(folder / "policy", {"kernel": np.ones((2, 3), np.float32)}, meta)


def make_reward(folder: Path) -> Path:
    meta = {
        "kind": "reward", "config": to_dict(ensemble.Config()), "env": "gridworld", "backend": "",
    }  # fmt: skip
    return weights.save(folder / "reward", {"kernel": np.ones((2, 3), np.float32)}, meta)


def make_config(folder: Path) -> Path:
    return RunDirectory.create(folder / "run", to_dict(clone.Config(env="cartpole"))).config


def make_summary(folder: Path) -> Path:
    directory = RunDirectory.create(folder / "run", to_dict(clone.Config(env="cartpole")))
    directory.write_summary({"env": "cartpole", "final_return": {"mean": 1.0, "per_seed": [1.0]}})
    directory.metrics.write_text("")
    return directory.summary


def make_checkpoint(folder: Path) -> Path:
    states = {"x": jax.numpy.ones((1, 2))}
    return Checkpoints(folder / "irl").save(3, states, {"iteration": 3}) / "meta.json"


def make_metrics(folder: Path) -> Path:
    path = RunDirectory.create(folder / "run", {}).metrics
    place = {"phase": "irl", "env_steps": 5, "wall_s": 0.1, "agent/return": 1.5}
    sink = sinks.JsonLines(path)
    sink.write([place | {"iteration": i, "lane": lane} for i in (1, 2, 3) for lane in (0, 1)])
    sink.close()
    return path


def make_d4rl(folder: Path) -> Path:
    arrays = {
        "observations": np.arange(10.0).reshape(5, 2),
        "actions": np.arange(5) % 3,
        "rewards": np.arange(5.0),
        "terminals": np.array([0, 0, 1, 0, 0], bool),
        "timeouts": np.array([0, 0, 0, 0, 1], bool),
    }
    with h5py.File(folder / "cart.hdf5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return folder / "cart.hdf5"


def make_fault(folder: Path) -> Path:
    meta = {
        "phase": "irl", "lane": 1, "start": 5, "iteration": 6, "metric": "agent/return",
        "config": to_dict(clone.Config(env="cartpole")),
        "cuts": {"irl": {"lanes": 2, "predicted_memory_mb": 1.0}},
    }  # fmt: skip
    tree = {"kernel": np.ones((2, 3), np.float32), "count": np.int32(3)}
    return weights.save(folder / "run" / "faults" / "irl-1", tree, meta)


def as_json(generator: np.random.Generator, content: bytes) -> bytes:
    return json.dumps(mutations.distorted(generator, json.loads(content))).encode()


def read_checkpoint(path: Path) -> Any:
    store = Checkpoints(path.parents[1])
    saved = store.newest()
    return saved and store.restore(saved, {"x": jax.ShapeDtypeStruct((1, 2), np.float32)})


def make_state(folder: Path) -> Path:
    return make_checkpoint(folder).with_name(checkpoints.STATE)


def read_state(path: Path) -> Any:
    """As somebody would have it read who knows what is checked."""
    described = path.with_name("meta.json")
    meta = json.loads(described.read_text()) | {"checksum": zlib.crc32(path.read_bytes())}
    described.write_text(json.dumps(meta))
    return read_checkpoint(described)


def read_metrics(path: Path) -> None:
    copy = path.with_name("copy.jsonl")
    copy.write_bytes(path.read_bytes())
    sinks.JsonLines(copy).rewind("irl", 2)
    assert sinks.last_logged(copy, {"irl"}) <= 2
    logged = runs.records(path.parent)
    for phase in runs.phases(logged):
        runs.curve(logged, phase, "agent/return")


def read_fault(path: Path) -> None:
    fault = faults.read(path)
    from_dict(fault.config)
    weights.load(path, LIKE)
    assert fault.run is None


GARBLED = mutations.garbled
READERS = {
    "demonstrations": Reader(
        make_demonstrations,
        (GARBLED, mutations.archive, mutations.archive),
        lambda path: demonstrations.load(path, SPEC),
    ),
    "foreign-demonstrations": Reader(
        make_demonstrations, (mutations.archive,), lambda path: demonstrations.load(path)
    ),
    "minari": Reader(make_minari, (GARBLED,), lambda path: demonstrations.load(path.parent, SPEC)),
    "d4rl": Reader(make_d4rl, (GARBLED,), lambda path: demonstrations.load(path, SPEC)),
    "pickle": Reader(
        make_pickle,
        (GARBLED, GARBLED, GARBLED, mutations.pickled),
        lambda path: demonstrations.load(path, SPEC),
    ),
    "weights": Reader(
        make_weights, (GARBLED, mutations.safetensors), lambda path: weights.load(path, LIKE)
    ),
    "foreign-weights": Reader(make_weights, (GARBLED, mutations.safetensors), weights.load),
    "policy": Reader(make_policy, (mutations.safetensors,), artefacts.load_network),
    "reward": Reader(make_reward, (mutations.safetensors,), artefacts.load_reward),
    "config": Reader(
        make_config,
        (GARBLED, as_json, as_json),
        lambda path: from_dict(RunDirectory.open(path.parent).read_config()),
    ),
    "summary": Reader(
        make_summary, (GARBLED, as_json), lambda path: RunDirectory(path.parent).read_summary()
    ),
    "checkpoint": Reader(make_checkpoint, (GARBLED, as_json), read_checkpoint),
    "state": Reader(make_state, (GARBLED, mutations.safetensors), read_state),
    "metrics": Reader(make_metrics, (GARBLED, mutations.line), read_metrics),
    "fault": Reader(make_fault, (GARBLED, mutations.safetensors), read_fault),
}


def meet(reader: Reader, folder: Path, count: int) -> int:
    """How many of `count` spoiled files were refused; whatever else they do is an error."""
    path = reader.make(folder)
    content, refused = path.read_bytes(), 0
    for seed in range(count):
        generator = np.random.default_rng(seed)
        spoil = reader.spoil[seed % len(reader.spoil)]
        path.write_bytes(spoil(generator, content))
        try:
            reader.read(path)
        except (UserError, runs.NoData) as error:
            refused += 1
            assert "\n" not in str(error), (seed, str(error))
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
    return refused


@pytest.mark.parametrize("name", READERS)
def test_spoiled_files_are_read_or_refused(name, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = meet(READERS[name], tmp_path, 200)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert refused > 50  # most mutations do matter
    assert grown < MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_ten_thousand_spoiled_files(name, tmp_path):
    assert meet(READERS[name], tmp_path, -(-10_000 // len(READERS))) > 100


def test_nothing_in_a_spoiled_file_is_executed():
    # In a process of its own, because no audit hook can be taken back.
    found = subprocess.run(
        [sys.executable, "-m", "tests.hostile.watched", "10"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert "nothing was executed" in found.stdout


def test_a_line_without_an_end_is_refused(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"phase": "' + bytes(running_files.MAX_LINE))
    with pytest.raises(UserError, match="lines of at most"):
        sinks.JsonLines(path).rewind("irl", 0)
    with pytest.raises(runs.NoData, match="line 1 is too much"):
        runs.records(tmp_path)


def test_documents_and_arrays_beyond_the_limit_are_not_read(tmp_path):
    with (tmp_path / "config.json").open("wb") as stream:
        stream.truncate(running_files.MAX_BYTES + 1)
    with pytest.raises(UserError, match="bytes of JSON, found more"):
        RunDirectory.open(tmp_path)
    assert runs.kind(tmp_path) == ""
    with zipfile.ZipFile(tmp_path / "maps.npz", "w") as archive:
        claimed = io.BytesIO()
        header = {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
        np.lib.format.write_array_header_1_0(claimed, header)
        archive.writestr("reward.npy", claimed.getvalue())
    with pytest.raises(runs.NoData, match="not the arrays of a maps"):
        runs.arrays(tmp_path, "maps.npz", ["reward"])
