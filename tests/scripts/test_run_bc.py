"""scripts/run_bc.py: a run directory that keeps the contract, and clones worth something."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.demonstrations import catalogue
from evil.errors import UserError
from evil.experiments import evaluate
from evil.experiments.shared import artefacts, measure
from evil.seams import Policy
from scripts import run_bc
from tests.scripts.starting import start, summary_of

CONTRACT = {
    "env", "backend", "algorithm", "seeds", "expert_return", "random_return", "env_steps",
    "wall_s", "compile_s", "env_steps_per_s", "peak_memory_mb", "final_return",
}  # fmt: skip
ENOUGH = ["--iterations", "10", "--bc.updates_per_iteration", "50"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Run the script; returns the run directory and its summary."""

    def call(name, *options, env="gridworld"):
        path = tmp_path_factory.getbasetemp() / f"bc-{name}"
        start(run_bc, "--env", env, "--preset", "smoke", "--out", path, *options)
        return path, summary_of(path)

    return call


@pytest.fixture(scope="module")
def trained(clone):
    return clone("trained", "--num_seeds", "2", "--evaluation_episodes", "32", *ENOUGH)


def test_the_run_directory_keeps_the_contract(trained):
    path, summary = trained
    assert summary.keys() >= CONTRACT
    assert (summary["env"], summary["algorithm"], summary["env_steps"]) == ("gridworld", "bc", 0)
    assert (summary["seed"], summary["seeds"]) == (1, 2)
    assert len(summary["final_return"]["per_seed"]) == 2
    assert (path / "checkpoints" / "bc").is_dir()
    logged = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert {record["phase"] for record in logged} == {"bc"}
    assert {record["lane"] for record in logged} == {0, 1}
    assert "clone/validation_loss" in logged[-1]


def test_the_clone_is_as_good_as_the_expert(trained):
    _, summary = trained
    assert min(summary["final_return"]["per_seed"]) > 0.9 * summary["expert_return"]
    assert summary["random_return"] < 0.5 * summary["expert_return"]


def test_the_policy_files_are_what_was_measured(trained):
    path, summary = trained
    files = [path / "policy" / f"bc-{lane}.safetensors" for lane in range(2)]
    (env, first), (_, second) = (artefacts.load_policy(file) for file in files)
    params = jax.tree.map(lambda *x: jnp.stack(x), first.params, second.params)
    key_measure, _ = jax.random.split(jax.random.key(1))
    stacked = Policy(params=params, act=first.act)
    played = measure.returns(env, {"bc": stacked}, key_measure, 32)["bc"]
    assert played.mean(axis=1).tolist() == pytest.approx(summary["final_return"]["per_seed"])
    kernels = [x for x in jax.tree.leaves(params) if x.ndim == 3]
    assert all(bool((x[0] != x[1]).any()) for x in kernels)  # two seeds, two policies


def test_a_finished_run_resumes_to_the_same_result(trained):
    path, summary = trained
    start(run_bc, "--resume", path)
    assert summary_of(path)["final_return"] == summary["final_return"]
    with pytest.raises(UserError, match=r"seed"):
        start(run_bc, "--resume", path, "--seed", 9)


def test_options_reach_the_config_and_the_data(clone):
    file = catalogue.directory("gridworld") / catalogue.EPISODES
    options = ["--num_demos", "2", "--subsample", "2", "--bc.batch_size", "32"]
    path, summary = clone("options", "-sd", "3", "--demos", str(file), *options)
    config = json.loads((path / "config.json").read_text())["config"]
    assert (config["seed"], config["bc"]["batch_size"]) == (3, 32)
    assert (summary["seed"], summary["seeds"]) == (3, 1)
    assert summary["demonstrations"] == 2 and summary["demonstrated_steps"] < 11
    assert 0.9 < summary["expert_return"] <= 1.0  # of all that the file has
    assert summary["random_return"] in (0.0, 0.25, 0.5)  # measured: there is no card beside it


def test_a_clone_by_squared_errors_never_samples(clone):
    path, summary = clone("mse", "--bc.loss", "mse", env="pendulum")
    assert summary["actions"] == "mode"
    (one,) = evaluate.load(evaluate.find(path), deterministic=False)
    obs = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
    actions = [one.policy.act(one.policy.params, obs, jax.random.key(k), ())[0] for k in (0, 1)]
    np.testing.assert_array_equal(*actions)


def test_squared_errors_of_discrete_actions_are_refused(clone):
    with pytest.raises(UserError, match=r"squared errors need action vectors"):
        clone("discrete", "--bc.loss", "mse")
