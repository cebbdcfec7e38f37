"""scripts/run_tabular.py and scripts/plan_expert.py: run directories and files that can be used."""

from pathlib import Path

import jax
import pytest

from evil.demonstrations import load
from evil.errors import UserError
from evil.experiments import evaluate
from evil.tabular import occupancy, worlds
from scripts import plan_expert, run_tabular
from tests.scripts.starting import start, summary_of

CONTRACT = {
    "env", "backend", "algorithm", "seeds", "expert_return", "random_return", "env_steps",
    "wall_s", "compile_s", "env_steps_per_s", "peak_memory_mb", "final_return",
}  # fmt: skip


def recover(path, *options):
    given = ["--env", "gridworld", "--preset", "smoke", "--out", path, *options]
    start(run_tabular, *given)
    return summary_of(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("tabular") / "run"
    options = ["--num_seeds", "2", "--iterations", "3", "--algorithm.fit.updates_per_iteration", 20]
    return path, recover(path, "--method", "mce", *options)


def test_the_run_directory_keeps_the_contract(run):
    path, summary = run
    assert summary.keys() >= CONTRACT
    assert (summary["env"], summary["algorithm"], summary["env_steps"]) == ("gridworld", "mce", 0)
    assert len(summary["final_return"]["per_seed"]) == 2
    for name in ("maps", "arrows"):
        assert (path / "figures" / f"{name}.png").is_file()
    assert {file.name for file in (path / "reward").glob("*.safetensors")} == {
        "reward-0.safetensors",
        "reward-1.safetensors",
    }


def test_the_reward_is_worth_planning_on(run):
    _, summary = run
    assert summary["final_return"]["mean"] > 0.85
    assert summary["random_return"] < 0.3


def test_policy_files_are_what_was_judged(run):
    path, summary = run
    first, second = evaluate.load(evaluate.find(path), deterministic=False)
    world = worlds.make("gridworld")
    for one, expected in zip((first, second), summary["final_return"]["per_seed"], strict=True):
        found = occupancy.prospects(world.mdp, one.policy.params["table"], world.horizon)
        assert float(found.value) == pytest.approx(expected, abs=1e-5)
    played = evaluate.play([first], jax.random.key(0), 500)
    assert played[first.name].returns.mean() == pytest.approx(expected, abs=0.1)


def test_a_finished_run_resumes_to_the_same_result(run):
    path, summary = run
    start(run_tabular, "--resume", path)
    assert summary_of(path)["final_return"] == summary["final_return"]


@pytest.mark.parametrize("method", ["maxent", "relent"])
def test_other_methods_have_options_of_their_own(tmp_path, method):
    own = {"maxent": "--algorithm.visit_length", "relent": "--algorithm.per_start"}[method]
    summary = recover(tmp_path / "run", "--method", method, own, 2)
    assert summary["algorithm"] == method and summary["final_return"]["mean"] is not None
    steps = {"maxent": 0, "relent": 2 * 2 * 16 * 10}[method]  # iterations, updates, episodes, steps
    assert summary["env_steps"] == steps


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "mcee"], "did you mean mce"),
        (["--env", "cartpole"], "unknown finite world 'cartpole'"),
        (["--num_demos", "10000000"], "asked for 10000000 demonstrations"),
    ],
)
def test_wrong_input_leaves_nothing_behind(tmp_path, options, words):
    with pytest.raises(UserError, match=words):
        recover(tmp_path / "run", *options)
    assert not (tmp_path / "run").exists()


def test_demonstrations_by_a_command(tmp_path):
    file = tmp_path / "few.npz"
    start(plan_expert, "--file", file, "--num_demos", 50, "--temperature", 0)
    world = worlds.make("gridworld50")
    demos, meta = load(file, world.spec)
    # Optimal demonstrators, at a discount at which the goal is worth a loss now and then.
    assert float(demos.reward.sum(axis=1).min()) >= 8.0 and meta["exact"]
    assert demos.length.shape == (50,) and Path(file).stat().st_size < 100_000
    with pytest.raises(UserError, match="--replace"):
        start(plan_expert, "--file", file)
