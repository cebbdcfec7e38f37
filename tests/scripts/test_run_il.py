"""scripts/run_il.py: a run of an algorithm by name, resumed, and every wrong input."""

import json

import numpy as np
import pytest

from evil.config import to_dict
from evil.errors import UserError
from evil.experiments.settings import presets
from evil.running.directory import RunDirectory
from scripts import run_il
from tests.scripts.starting import start, summary_of
from tests.scripts.test_run_bc import CONTRACT

TINY = ("--env", "gridworld", "--preset", "smoke", "--quiet")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "adril"
    # Long enough for episodes of ten steps to end.
    start(run_il, "--algorithm", "adril", *TINY, "--num_seeds", "2", "--num_demos", "5",
          "--out", path)  # fmt: skip
    return path


def test_the_run_directory_keeps_the_contract(finished):
    summary = summary_of(finished)
    assert summary.keys() >= CONTRACT
    assert (summary["algorithm"], summary["demonstrations"], summary["seeds"]) == ("adril", 5, 2)
    assert len(summary["final_return"]["per_seed"]) == 2
    assert not {"bc_return", "retrain_return"} & summary.keys()  # nobody asked for those
    logged = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert {record["phase"] for record in logged} == {"irl"}
    for pattern in ("policy/irl-1.safetensors", "reward/reward-1.safetensors", "checkpoints/irl/*",
                    "figures/learning.png"):  # fmt: skip
        assert list(finished.glob(pattern)), pattern


def test_a_finished_run_resumes_to_the_same_summary(finished):
    before = summary_of(finished)
    start(run_il, "--resume", finished, "--quiet")
    after = summary_of(finished)
    before.pop("peak_memory_mb"), after.pop("peak_memory_mb")
    assert after == before
    with pytest.raises(UserError, match="seed"):
        start(run_il, "--resume", finished, "--seed", 9)


@pytest.mark.slow
def test_the_real_reward_needs_no_expert(tmp_path, capsys):
    small = ("--preset", "smoke", "--iterations", 2, "--evaluation_episodes", 2, "--quiet")
    start(
        run_il, "--algorithm", "sac", "--env", "MountainCar-v0", *small, "--out", tmp_path / "run"
    )
    summary = summary_of(tmp_path / "run")
    assert (summary["expert_return"], summary["demonstrations"]) == (None, 0)
    assert list(summary["under_recovered_reward"]) == ["irl"]
    assert np.isfinite(summary["random_return"]) and summary["final_return"]["per_seed"]
    assert "%" not in capsys.readouterr().out
    with pytest.raises(UserError, match="no expert is shipped for MountainCar-v0"):
        start(run_il, "--algorithm", "sqil", "--env", "MountainCar-v0", *small)


def test_a_run_of_another_study_is_not_resumed(tmp_path):
    RunDirectory.create(tmp_path / "dagger", to_dict(presets.dagging("gridworld", "smoke")))
    expected = "of evil.experiments.dagger, expected one of evil.experiments.recover or evil"
    with pytest.raises(UserError, match=expected):
        start(run_il, "--resume", tmp_path / "dagger")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--algorithm", "dacc"], "unknown algorithm 'dacc': did you mean dac"),
        (["--algorithm", "bc", "--num_demos", "1000"], "asked for 1000 demonstrations"),
        (["--algorithm", "bc", "--iterations", "0"], "iterations must be at least 1, found 0"),
        (["--algorithm", "gail", "--num_seeds", "0"], "num_seeds must be at least 1"),
        (["--algorithm", "red", "--algorithm.reward.held_out", "2"], "held_out must be between"),
        (["--algorithm", "pwil", "--bc_iterations", "-1"], "bc_iterations must be at least 0"),
        (["--algorithm", "sqil", "--num_retrained", "1"], "labels of origin teach nobody anew"),
        (["--algorithm", "sac", "--tuned"], "unknown tuned algorithm 'sac'"),
        (["--tuned", "--num_demos", "7"], "tuned values are for num_demos 5, 10, 25: found 7"),
        (["--tuned"], "found None"),
        (["--algorithm", "red", "--algorithm.reward.dropout", "1"], "dropout must be from 0 to"),
        (["--algorithm", "dril", "--algorithm.learner.warmup", "-1"], "warmup must be at least 0"),
    ],
)
def test_wrong_input_gets_one_sentence_and_leaves_nothing(arguments, expected, tmp_path):
    with pytest.raises(UserError, match=expected):
        start(run_il, *TINY, *arguments, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
