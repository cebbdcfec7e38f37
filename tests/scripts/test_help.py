"""Every script says what it does, quickly, and refuses what it does not know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).resolve().parents[2] / "scripts").glob("*.py"))


def call(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_there_are_scripts() -> None:
    names = {script.stem for script in SCRIPTS}
    assert names >= {"run_irl", "run_bc", "train_expert", "evaluate", "benchmark"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_help(script: Path) -> None:
    done = call(script, "--help")
    assert done.returncode == 0, done.stderr
    assert script.name in done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_unknown_option_is_refused_without_a_traceback(script: Path) -> None:
    done = call(script, "--no_such_option", "1")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr + done.stdout


def test_an_expert_that_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    script = next(script for script in SCRIPTS if script.stem == "train_expert")
    done = call(script, "--env", "cartpole", "--out", str(tmp_path / "run"))
    assert done.returncode == 2
    assert "--replace" in done.stderr
    assert not (tmp_path / "run").exists()
