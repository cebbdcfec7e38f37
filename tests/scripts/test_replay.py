"""scripts/replay.py: from a run that broke to the number that was not finite."""

import shutil

import pytest

from evil.errors import UserError
from scripts import replay, run_irl
from tests.scripts.starting import start, summary_of


def test_a_run_that_broke_is_replayed(tmp_path, capsys):
    path = tmp_path / "run"
    start(
        run_irl, "--env", "gridworld", "--preset", "smoke", "--num_retrained", 0, "--out", path,
        "--algorithm.learner.learning_rate", 1e38,
    )  # fmt: skip
    (frozen,) = summary_of(path)["phases"]["irl"]["frozen"]
    file = path / "faults" / "irl-0.safetensors"
    capsys.readouterr()
    start(replay, file)
    said = capsys.readouterr().out
    assert f"irl, lane 0: {frozen['metric']} in iteration {frozen['iteration']}" in said
    assert "is not finite" in said
    # The file is enough.
    alone = shutil.copy(file, tmp_path)
    shutil.rmtree(path)
    start(replay, alone)
    again = capsys.readouterr().out
    assert again.splitlines()[-1] == said.splitlines()[-1]
    with pytest.raises(UserError, match="no such file"):
        start(replay, path / "faults" / "irl-1.safetensors")
