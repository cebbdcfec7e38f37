"""Killed at any moment, in a save as well as between two, a run goes on to the same bits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("number", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_no_kill_loses_anything(number, tmp_path):
    found = subprocess.run(
        [sys.executable, HERE / "kills.py", tmp_path, str(number)],
        capture_output=True, text=True, check=False, cwd=HERE,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    result = json.loads(found.stdout)
    assert result["kills"] == number, found.stderr
    assert result["lost"] == result["failed"] == result["differing"] == 0
    assert result["ends"] > number // 50  # those were compared
