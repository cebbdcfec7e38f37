"""What many seeds, checkpoints and a resumption cost, each as a user would meet it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from evil.errors import UserError, at_least
from evil.experiments import recover
from evil.experiments.settings import presets
from evil.running import command
from evil.running.checkpoints import Checkpoints
from evil.running.runner import run

ALONE = ("--bc_iterations", "0", "--num_retrained", "0")  # the game, and nothing beside it
WAIT_S = 900.0  # for a run to log its first iteration


def seeds(script: Path, env: str = "cartpole", many: int = 32, preset: str = "quick") -> dict:
    """Seconds of `run_irl.py` with one seed and with many, each with nothing compiled before."""
    at_least(2, many=many)
    seconds = {}
    for count in (1, many):
        with tempfile.TemporaryDirectory() as scratch:
            options = ["--env", env, "--irl_plus", "--preset", preset, "--num_seeds", str(count)]
            started = time.perf_counter()
            _finish(_begin(script, [*options, *ALONE], Path(scratch)))
            seconds[count] = time.perf_counter() - started
    return {"env": env, "seconds": seconds, "many_over_one": seconds[many] / seconds[1]}


def faults(script: Path, env: str, preset: str) -> dict[str, Any]:
    """What it costs to be ready for them."""
    return {
        "checkpoints": checkpoints(env, preset),
        "resumption": resumption(script, env, preset),
    }


def checkpoints(env: str = "hopper", preset: str = "quick", repeats: int = 5) -> dict[str, Any]:
    """Seconds of a checkpoint of the game after one iteration, and its share of wall time."""
    config = presets.recovery(env, preset, irl_plus=True)
    study = recover.study(config)
    phase = study.imitating("irl", study.game, jax.random.key(0), 1)
    states = run(dataclasses.replace(phase, chunk=1)).states
    seconds = []
    with tempfile.TemporaryDirectory() as scratch:
        kept = Checkpoints(Path(scratch) / "irl")
        for iteration in range(repeats):
            started = time.perf_counter()
            kept.save(iteration, states, {})
            seconds.append(time.perf_counter() - started)
    interval = command.Output().checkpoint_every
    median = statistics.median(seconds)
    return {
        "env": env,
        "seconds": seconds,
        "megabytes": sum(x.nbytes for x in jax.tree.leaves(states)) / 2**20,
        "share_of_wall_time": median / (interval + median),  # the interval begins when one ends
    }


def resumption(script: Path, env: str = "hopper", preset: str = "quick") -> dict[str, Any]:
    """Seconds from `--resume` to the first iterations that are logged, and what they are made of.

    The run is stopped by SIGTERM after its first iterations; its programs are then in the cache.
    Iterations are logged by the chunk, so of the whole, what compiling and a chunk took is apart.
    """
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        options = ["--env", env, "--irl_plus", "--preset", preset, *ALONE]
        process, out = _begin(script, options, scratch), scratch / "run"
        _wait(process, lambda: _logged(out) > 0)
        process.send_signal(signal.SIGTERM)
        _finish(process)
        compiled, played, logged = _seconds(out, "compile_s"), _seconds(out, "wall_s"), _logged(out)
        started = time.perf_counter()
        process = _begin(script, ["--resume", str(out)], scratch, is_new=False)
        _wait(process, lambda: _logged(out) > logged)
        seconds = time.perf_counter() - started
        newest = (out / "metrics.jsonl").read_text().splitlines()[-1]
        chunk_s = json.loads(newest)["wall_s"] - played
        process.send_signal(signal.SIGTERM)
        _finish(process)
        return {
            "env": env,
            "seconds_to_first_iterations": seconds,
            "compile_s": (anew := _seconds(out, "compile_s") - compiled),
            "chunk_s": chunk_s,
            "rest_s": seconds - anew - chunk_s,
            "compile_s_at_first": compiled,
        }


def _begin(
    script: Path, options: Sequence[str], scratch: Path, *, is_new: bool = True
) -> subprocess.Popen:
    """Start a script that writes to `scratch/run`, with a cache of compiled programs beside it."""
    out = ["--out", str(scratch / "run")] if is_new else []
    cold = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(scratch / "cache")}
    # JAX keeps what took a second to compile, by default; the rest is compiled again.
    return subprocess.Popen(
        [sys.executable, str(script), *options, *out], env=cold, stdout=sys.stderr
    )


def _finish(process: subprocess.Popen) -> None:
    if code := process.wait():
        raise UserError(f"a run of the benchmark ended with exit code {code}, as said above.")


def _wait(process: subprocess.Popen, is_there: Any) -> None:
    deadline = time.perf_counter() + WAIT_S
    while not is_there():
        if process.poll() is not None or time.perf_counter() > deadline:
            process.kill()
            raise UserError("a run of the benchmark logged nothing before it ended.")
        time.sleep(0.02)


def _logged(out: Path) -> int:
    """Lines of metrics that are there."""
    file = out / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


def _seconds(out: Path, which: str) -> float:
    """What compiling (`compile_s`) or the rest (`wall_s`) has taken, by the newest checkpoint."""
    found = Checkpoints(out / "checkpoints" / "irl").newest()
    if found is None:
        raise UserError(f"{out} has no checkpoint.")
    return float(found.position[which])
