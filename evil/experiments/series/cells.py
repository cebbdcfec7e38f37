"""Runs side by side under one folder: each in its own directory, begun, continued or left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evil.config import to_dict
from evil.running import command
from evil.running.directory import RunDirectory
from evil.running.runner import Session

Study = Callable[[Session], dict[str, Any]]


def check(path: Path, config: Any) -> None:
    """UserError if a run of another config lies at `path` already."""
    if path.exists():
        RunDirectory.open(path).check_same_config(to_dict(config))


def is_finished(path: Path) -> bool:
    """Whether the run at `path` has been carried out."""
    return (path / "summary.json").is_file()


def carry_out(title: str, path: Path, config: Any, study: Study) -> None:
    """A study in its own directory, begun or continued."""
    resume, out = (str(path), None) if path.exists() else (None, str(path))
    output = command.Output(out=out, resume=resume)
    again = "Continue with the same command."
    with command.session(config, output, name=path.name, again=again) as session:
        session.progress.note(f"\n{title}")
        study(session)
