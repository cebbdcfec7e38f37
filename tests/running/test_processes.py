"""Several processes on one run: one mesh, one writer, and the bits of a single process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from evil.errors import UserError
from evil.running import processes
from evil.running.runner import run
from tests.running import together

ROOT = Path(__file__).parents[2]
SECONDS = 900  # that a pair may take on a busy machine


def start_pair(command: Callable[[int], list[str | Path]]) -> list[subprocess.CompletedProcess]:
    """Run two processes with a device each, as one run."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    started = []
    for index in range(2):
        names = dict(zip(processes.VARIABLES, (address, "2", str(index)), strict=True))
        own = {"JAX_NUM_CPU_DEVICES": "1", "PYTHONPATH": str(ROOT)}
        started.append(
            subprocess.Popen(
                [sys.executable, *map(str, command(index))],
                env=os.environ | names | own,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
        )
    try:
        said = [one.communicate(timeout=SECONDS) for one in started]
    finally:
        for one in started:
            one.kill()
    return [
        subprocess.CompletedProcess(one.args, one.returncode, *texts)
        for one, texts in zip(started, said, strict=True)
    ]


def tiny_pair(folder: Path, *stop: str) -> list[subprocess.CompletedProcess]:
    return start_pair(
        lambda index: [together.__file__, folder / "run", folder / f"{index}.npz", *stop]
    )


@pytest.fixture(scope="module")
def alone():
    """The states that one process with two devices reaches."""
    states = run(together.phase()).states
    return [np.asarray(together.plain(leaf)) for leaf in jax.tree.leaves(states)]


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """A run of two processes, stopped by the second of them, then resumed to its end."""
    folder = tmp_path_factory.mktemp("together")
    stopped = tiny_pair(folder, "stop")
    between = sorted(path.name for path in (folder / "run" / "checkpoints" / "irl").iterdir())
    finished = tiny_pair(folder)
    return folder, stopped, between, finished


def test_both_processes_reach_the_bits_of_one_with_as_many_devices(resumed, alone):
    folder, _, _, finished = resumed
    assert [one.returncode for one in finished] == [0, 0], finished[0].stderr + finished[1].stderr
    for index in range(2):
        with np.load(folder / f"{index}.npz") as found:
            reached = [found[name] for name in found.files]
        for ours, theirs in zip(reached, alone, strict=True):
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
            assert ours.tobytes() == theirs.tobytes()


def test_a_stop_asked_of_one_process_stops_all_and_saves(resumed):
    _, stopped, between, _ = resumed
    assert [one.returncode for one in stopped] == [0, 0], stopped[0].stderr + stopped[1].stderr
    assert "interrupted in phase 'irl' after iteration 8" in stopped[0].stdout
    assert "interrupted" not in stopped[1].stdout  # said once
    assert "8" in between and "Traceback" not in stopped[0].stderr + stopped[1].stderr


def test_the_first_process_writes_every_record_once_and_the_fault(resumed):
    folder, _, _, _ = resumed
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    seen = [(record["iteration"], record["lane"]) for record in map(json.loads, lines)]
    healthy = [(iteration, lane) for iteration in range(1, 23) for lane in range(3)]
    assert sorted(x for x in seen if x[1] < 3) == sorted(healthy)
    assert len(set(seen)) == len(seen)
    assert (folder / "run" / "faults" / "irl-3.safetensors").is_file()


def test_what_the_first_process_refuses_all_refuse_and_one_says(tmp_path):
    (tmp_path / "run").write_text("a file")
    found = tiny_pair(tmp_path)
    assert [one.returncode for one in found] == [2, 2], found[0].stderr + found[1].stderr
    assert "already exists" in found[0].stderr and "error" not in found[1].stderr
    assert (tmp_path / "run").read_text() == "a file"


def test_a_script_trains_in_two_processes_as_in_one(tmp_path):
    options = ["--env", "gridworld", "--preset", "smoke", "--num_seeds", "2"]
    options += ["--iterations", "2", "--evaluation_episodes", "2", "--quiet"]
    script = [ROOT / "scripts" / "run_bc.py", *options]
    found = start_pair(lambda index: [*script, "--out", tmp_path / "two"])
    assert [one.returncode for one in found] == [0, 0], found[0].stderr + found[1].stderr
    names = os.environ | {"JAX_NUM_CPU_DEVICES": "2", "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, *script, "--out", tmp_path / "one"],
        env=names, check=True, capture_output=True,
    )  # fmt: skip
    for lane in range(2):
        files = [tmp_path / name / "policy" / f"bc-{lane}.safetensors" for name in ("one", "two")]
        assert files[0].read_bytes() == files[1].read_bytes()
    returns = [json.loads((tmp_path / n / "summary.json").read_text()) for n in ("one", "two")]
    assert returns[0]["final_return"] == returns[1]["final_return"]
    assert "everything about this run" in found[0].stdout
    assert "everything about this run" not in found[1].stdout


# The environment.

SET = dict(zip(processes.VARIABLES, ("127.0.0.1:1", "2", "0"), strict=True))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        (SET, True),
        ({"JAX_PROCESS_ID": "0"}, True),
        ({"SLURM_STEP_NUM_TASKS": "4"}, True),
        ({"SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_NTASKS": "4"}, False),  # a shell of salloc, without srun
    ],
)
def test_several_processes_are_asked_for(environment, expected):
    assert processes.asked_for(environment) == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"JAX_PROCESS_ID": ""}, "JAX_PROCESS_ID must be set, too"),
        ({"JAX_COORDINATOR_ADDRESS": "here"}, "expected host:port"),
        ({"JAX_NUM_PROCESSES": "two"}, "must be whole numbers"),
        ({"JAX_PROCESS_ID": "2"}, "JAX_PROCESS_ID is 2: expected less than JAX_NUM_PROCESSES=2"),
    ],
)
def test_a_wrong_environment_is_refused_in_one_sentence(changes, said):
    with pytest.raises(UserError, match=said):
        processes.join(SET | changes)


def test_under_slurm_jax_is_left_to_find_the_others(monkeypatch):
    given = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **options: given.append(options))
    processes.join({"SLURM_STEP_NUM_TASKS": "4"})
    assert given == [{}]


def test_those_who_do_not_come_are_missed_in_one_sentence(monkeypatch):
    def fail(**options):
        raise RuntimeError("DEADLINE_EXCEEDED: Barrier timed out\nand much more")

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    with pytest.raises(UserError, match=r"did not come together: DEADLINE_EXCEEDED: .* out$"):
        processes.join(SET)


def test_a_command_for_one_process_refuses_several():
    found = subprocess.run(
        [sys.executable, ROOT / "scripts" / "evaluate.py", "nothing"],
        env=os.environ | SET, capture_output=True, text=True,
    )  # fmt: skip
    assert found.returncode == 2 and "runs in one process" in found.stderr


def test_a_single_process_agrees_with_itself():
    assert processes.first(lambda: {"x": 1.0}) == {"x": 1.0}
    assert processes.least(3) == 3 and processes.anybody(True) and not processes.anybody(False)
