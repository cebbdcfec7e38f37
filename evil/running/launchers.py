"""Commands as jobs: on this machine, under Slurm by way of submitit, or on a cluster of Ray.

A job has a log and an exit code. Jobs that fail do not stop the others, and all that a job needs to
be continued is on disk already: whoever launched it can launch it again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from evil.errors import UserError, unknown
from evil.running import signals

PACKAGES = {"local": "", "submitit": "submitit", "ray": "ray"}  # launchers, and what they need
POLL_S = 0.5
TAIL = 64 * 1024  # bytes of a log in which its last line is sought


@dataclasses.dataclass(frozen=True)
class Job:
    """A command, and the file that gets whatever it prints."""

    name: str
    command: list[str]
    log: Path


class Running(Protocol):
    """A job that was started."""

    def code(self) -> int | None:
        """Its exit code; None while it runs."""

    def stop(self) -> None:
        """Ask it to save and to end."""


Launcher = Callable[[Job], Running]


def options(texts: Sequence[str]) -> dict[str, Any]:
    """What `timeout_min=60 slurm_partition=gpu` says; values are JSON, or else text."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            raise UserError(f"launcher option {text!r}: expected name=value, like timeout_min=60.")
        try:
            found[name] = json.loads(value)
        except (ValueError, RecursionError):
            found[name] = value
    return found


def check(name: str, given: Mapping[str, Any]) -> None:
    """UserError if there is no such launcher, or not what it needs."""
    if name not in PACKAGES:
        raise unknown("launcher", name, PACKAGES)
    package = PACKAGES[name]
    if package and importlib.util.find_spec(package) is None:
        raise UserError(f"--launcher {name} needs the {package} package: pip install {package}")
    is_slurm = name == "submitit" and given.get("cluster", "slurm") == "slurm"
    if is_slurm and shutil.which("sbatch") is None:
        raise UserError(
            "--launcher submitit finds no Slurm here: expected sbatch, or, to run on this machine, "
            "--launcher local."
        )


def make(name: str, given: Mapping[str, Any], folder: Path) -> Launcher:
    """A launcher by name; UserError if its package is not there, or does not know an option.

    `given` are options of submitit's `update_parameters` and, as `cluster`, of its executor, or of
    `ray.remote` and, as `address`, of `ray.init`. `folder` is for the launcher's own files.
    """
    check(name, given)
    if name == "local":
        if given:
            raise UserError(f"the launcher local has no option {next(iter(given))}.")
        return Local
    try:
        return (_submitit if name == "submitit" else _ray)(dict(given), folder)
    except (TypeError, ValueError, NameError, RuntimeError, ConnectionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"--launcher {name} refuses its options: {reason}") from error


def run(
    jobs: Sequence[Job],
    launcher: Launcher,
    *,
    at_once: int,
    is_stopping: Callable[[], bool],
    note: Callable[[str], None],
) -> dict[str, int]:
    """Run jobs, at most `at_once` of them together; returns the exit codes of those that ended.

    Asked to stop, it starts no others, stops those that run, and waits for them.
    """
    waiting, running, codes = list(jobs), dict[str, Running](), dict[str, int]()
    is_asked = False
    while running or (waiting and not is_asked):
        if is_stopping() and not is_asked:
            is_asked = True
            for one in running.values():
                one.stop()
        while waiting and len(running) < at_once and not is_asked:
            job = waiting.pop(0)
            running[job.name] = launcher(job)
            note(f"{job.name} is launched; its log is {job.log}")
        for name, one in list(running.items()):
            if (code := one.code()) is not None:
                del running[name]
                codes[name] = code
                note(f"{name} has ended" + (f" with exit code {code}" if code else ""))
        if running:
            time.sleep(POLL_S)
    return codes


def last_line(log: Path) -> str:
    """What a job said last, which is why it failed."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - TAIL))
            lines = stream.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return "it left no log"
    return lines[-1][:300] if lines else "it said nothing"


def execute(command: list[str], log: str) -> int:
    """Run a command wherever a scheduler has put it; returns its exit code.

    Whatever the scheduler stops this process with, a signal or an exception, the command is asked
    to save and to end, and given the time for it.
    """
    with open(log, "ab") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        with signals.handled(signal.SIGTERM, process.terminate):
            while (code := process.poll()) is None:  # Ray cannot interrupt a `wait`
                time.sleep(POLL_S)
            return code
    except BaseException:
        process.terminate()
        process.wait()
        raise


class Local:
    """A process on this machine."""

    def __init__(self, job: Job) -> None:
        with job.log.open("ab") as stream:
            # In a group of its own: Ctrl-C is for the launcher, which asks each job once.
            self._process = subprocess.Popen(
                job.command, stdout=stream, stderr=stream, start_new_session=True
            )

    def code(self) -> int | None:
        return self._process.poll()

    def stop(self) -> None:
        self._process.terminate()


def _submitit(given: dict[str, Any], folder: Path) -> Launcher:
    """Jobs of Slurm; or of another executor of submitit, as `cluster` says."""
    submitit: Any = importlib.import_module("submitit")
    cluster = given.pop("cluster", "slurm")
    executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
    executor.update_parameters(**given)

    class Submitted:
        """A job in Slurm's queue."""

        def __init__(self, job: Job) -> None:
            self._job = executor.submit(execute, job.command, str(job.log))

        def code(self) -> int | None:
            if not self._job.done():
                return None
            try:
                return int(self._job.result())
            except Exception:  # lost, or out of time or memory: whatever the scheduler did to it
                return 1

        def stop(self) -> None:
            if cluster == "local":  # whose `cancel` would kill the job after a second
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(self._job.job_id), signal.SIGTERM)
            else:
                self._job.cancel(check=False)

    return Submitted


def _ray(given: dict[str, Any], folder: Path) -> Launcher:
    """Tasks of Ray, which are given `num_cpus`, `num_gpus`, ... as the options say."""
    del folder  # Ray has its own
    ray: Any = importlib.import_module("ray")
    if not ray.is_initialized():
        address = {"address": given.pop("address")} if "address" in given else {}
        ray.init(**address)
    task = ray.remote(**given)(execute) if given else ray.remote(execute)

    class Submitted:
        """A task of Ray."""

        def __init__(self, job: Job) -> None:
            self._task = task.remote(job.command, str(job.log))

        def code(self) -> int | None:
            done, _ = ray.wait([self._task], timeout=0)
            if not done:
                return None
            try:
                return int(ray.get(self._task))
            except Exception:  # the worker died, or the task was cancelled
                return 1

        def stop(self) -> None:
            ray.cancel(self._task)

    return Submitted
