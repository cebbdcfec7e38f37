"""The groups of a sweep as separate jobs, each in a run directory of its own.

    <run>/groups/<n>/        the sweep of group n alone: config, metrics, checkpoints, summary
                    /log.txt what its process printed
    <run>/metrics.jsonl, summary.json, figures/      of all groups together, once all are done

A job that was stopped, or has failed, goes on where it was when the sweep is resumed; one that is
done is not run again.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evil import atomic
from evil.config import to_dict
from evil.errors import UserError
from evil.running import files, launchers, memory, processes
from evil.running.directory import RunDirectory
from evil.running.runner import Session
from evil.running.signals import Interrupted

if TYPE_CHECKING:
    from evil.experiments.series import sweep

FOLDER, LOG = "groups", "log.txt"


def check(config: sweep.Config) -> None:
    """UserError for what a launcher could not do."""
    if config.launcher and processes.count() > 1:
        raise UserError("--launcher starts processes itself: expected a single one to begin with.")
    if not config.launcher and (config.launcher_options or config.jobs != 1):
        raise UserError("--launcher_options and --jobs are for --launcher.")
    given = launchers.options(config.launcher_options)
    if config.launcher:
        launchers.check(config.launcher, given)


def carry_out(
    config: sweep.Config, numbers: Sequence[int], session: Session, options: Sequence[str]
) -> list[dict[str, Any]]:
    """The summaries of all groups, by jobs with these options; those that exist are read.

    Raises `Interrupted` if the session is asked to stop, and UserError, after all others are done,
    for jobs that fail.
    """
    run = session.directory
    if run is None:
        raise UserError("--launcher needs a run directory.")
    folders = {number: _folder(run, config, number) for number in numbers}
    if config.launcher == "local":  # jobs of one machine share its memory
        options = (*options, "--memory_mb", str(memory.free_bytes() / config.jobs / 2**20))
    launcher = launchers.make(
        config.launcher, launchers.options(config.launcher_options), run.path / FOLDER / ".launcher"
    )
    jobs = [
        launchers.Job(
            name=f"group {number}",
            command=[
                sys.executable,
                "-m",
                "evil.experiments.series.job",
                str(folder.path),
                *options,
            ],
            log=folder.path / LOG,
        )
        for number, folder in folders.items()
        if not folder.summary.is_file()
    ]
    launchers.run(
        jobs,
        launcher,
        at_once=config.jobs,
        is_stopping=session.is_stopping,
        note=session.progress.note,
    )
    missing = [number for number, folder in folders.items() if not folder.summary.is_file()]
    if missing and session.is_stopping():
        raise Interrupted("groups", len(folders) - len(missing), saved=True)
    if missing:
        number = missing[0]
        reason = launchers.last_line(folders[number].path / LOG)
        raise UserError(
            f"{len(missing)} of {len(folders)} groups have failed, the first of them group {number}"
            f" ({reason}): the others are kept, continue with --resume {run.path}"
        )
    lines = (files.lines(folder.metrics) for folder in folders.values())
    atomic.write_parts(run.metrics, itertools.chain.from_iterable(lines))
    return [folder.read_summary() for folder in folders.values()]


def _folder(run: RunDirectory, config: sweep.Config, number: int) -> RunDirectory:
    """The run directory of a group, which is made where there is none."""
    own = dataclasses.replace(config, launcher="", launcher_options=(), jobs=1, group=number)
    path = run.path / FOLDER / str(number)
    if (path / "config.json").is_file():
        found = RunDirectory.open(path)
        found.check_same_config(to_dict(own))
        return found
    return RunDirectory.create(path, to_dict(own))
