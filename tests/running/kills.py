"""Kill a short run again and again, at any moment: `python kills.py FOLDER NUMBER`.

Prints one JSON object. A run that reaches its end although it was hunted must have the bits and
the log of one that was left alone; then the next one begins. Every process is forked from this
one, which has imported everything and computed nothing, so that it starts fast.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import jax
import numpy as np
import tiny

from evil.running.directory import RunDirectory
from evil.running.runner import Session, run
from evil.running.sinks import JsonLines


def work(path: Path) -> None:
    """Begin or continue the run at `path`, in a process of its own."""
    directory = (
        RunDirectory.open(path)
        if (path / "config.json").exists()
        else RunDirectory.create(path, tiny.CONFIG)
    )
    sinks = (JsonLines(directory.metrics), tiny.Slow(0.02))
    found = run(tiny.phase(), Session(directory, sinks, checkpoint_interval_s=0.0))
    arrays = {**found.states, "key": jax.random.key_data(found.states["key"])}
    np.savez(path / "result.npz", **arrays)


def begin(path: Path) -> int:
    """The process that works on a run."""
    process = os.fork()
    if process == 0:
        try:
            work(path)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return process


def saved(path: Path) -> int:
    """The iteration of the newest checkpoint."""
    folders = (path / "checkpoints" / "irl").glob("[0-9]*")
    return max((int(folder.name) for folder in folders if folder.name.isdigit()), default=0)


def log(path: Path) -> list[dict]:
    records = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in record.items() if k != "wall_s"} for record in records]


def same(ours: Path, theirs: Path) -> bool:
    with np.load(ours / "result.npz") as a, np.load(theirs / "result.npz") as b:
        bits = all(a[name].tobytes() == b[name].tobytes() for name in b.files)
    return bits and log(ours) == log(theirs)


def main() -> None:
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    started = time.perf_counter()
    assert os.waitpid(begin(folder / "alone"), 0)[1] == 0
    whole = time.perf_counter() - started
    rng = random.Random(0)
    kills = ends = lost = failed = differing = 0
    path = folder / "run-0"
    while kills < number and not failed:
        before = saved(path)
        process = begin(path)
        time.sleep(rng.uniform(0.0, whole))
        os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
        lost += saved(path) < before
        if os.WIFSIGNALED(status):
            kills += 1
        elif status:
            failed += 1
        else:
            ends += 1
            differing += not same(path, folder / "alone")
            path = folder / f"run-{ends}"
    # The last one, left alone from here on, is compared in any case.
    status = os.waitpid(begin(path), 0)[1]
    failed += status != 0
    ends += 1
    differing += status != 0 or not same(path, folder / "alone")
    print(json.dumps({"kills": kills, "ends": ends, "lost": lost, "failed": failed,
                      "differing": differing}))  # fmt: skip


if __name__ == "__main__":
    main()
