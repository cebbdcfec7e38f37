"""scripts/run_transfer.py: a reward of one world in others, and what is refused."""

import json

import pytest

from evil.errors import UserError
from scripts import run_evil, run_irl, run_transfer
from tests.scripts.starting import start, summary_of


@pytest.fixture(scope="module")
def recovered(tmp_path_factory):
    path = tmp_path_factory.mktemp("transfer") / "irl"
    start(run_irl, "--env", "cartpole", "--irl_plus", "--preset", "smoke", "--out", path,
          "--num_retrained", 0)  # fmt: skip
    return path


@pytest.fixture(scope="module")
def shaping(recovered):
    path = recovered.parent / "evil"
    start(run_evil, "--env", "cartpole", "--preset", "smoke", "--out", path,
          "--reward_filename", recovered, "--algorithm.under", "recovered")  # fmt: skip
    return path


def test_only_a_reward_of_the_environment_is_shaped(recovered, tmp_path):
    with pytest.raises(UserError, match="belongs to cartpole, expected gridworld"):
        start(run_evil, "--env", "gridworld", "--preset", "smoke",
              "--reward_filename", recovered, "--out", tmp_path / "run")  # fmt: skip


def test_a_shaped_reward_in_another_world(recovered, shaping, tmp_path):
    out = tmp_path / "run"
    start(run_transfer, "--reward", recovered, "--shaping", shaping, "--num_seeds", 2,
          "--tremble", 0.1, "--evaluation_episodes", 8, "--out", out)  # fmt: skip
    summary = summary_of(out)
    for name in ("real", "recovered", "shaped"):
        assert len(summary[f"{name}_return"]["per_seed"]) == 2
        assert len(summary[f"{name}_area_under_curve"]) == 2
    assert summary["bc_return"]["mean"] > 0
    assert summary["num_dynamics"] == 1 and summary["frozen"] == []
    logged = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    first = {r["phase"]: r["agent/return"] for r in logged if r["iteration"] == 1 and not r["lane"]}
    assert first["real"] == first["recovered"] == first["shaped"]  # the same start in all
    assert (out / "figures" / "learning.png").is_file()


def test_without_shaping(recovered, tmp_path):
    out = tmp_path / "run"
    start(run_transfer, "--reward", recovered, "--evaluation_episodes", 8, "--out", out)
    summary = summary_of(out)
    assert "shaped_return" not in summary
    assert summary["final_return"] == summary["recovered_return"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "expected --reward RUN"),
        (["--reward", "nowhere"], "nowhere"),
        (["--reward", "RUN", "--shaping", "nowhere"], "no evolved potential"),
        (["--reward", "RUN", "--env", "pendulum"], "belongs to cartpole, expected pendulum"),
        (["--reward", "RUN", "--tremble", "2"], "in \\[0, 1\\], found 2"),
        (["--reward", "RUN", "--iterations", "0"], "iterations"),
    ],
)
def test_wrong_input_is_refused(options, message, recovered, tmp_path):
    given = [recovered if option == "RUN" else option for option in options]
    with pytest.raises(UserError, match=message):
        start(run_transfer, *given, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
