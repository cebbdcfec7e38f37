"""scripts/run_dagger.py: a run directory that keeps the contract, and learners worth something."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.demonstrations import catalogue
from evil.errors import UserError
from evil.experiments.shared import artefacts, measure
from evil.seams import Policy
from scripts import run_dagger
from tests.scripts.starting import start, summary_of

CONTRACT = {
    "env", "backend", "algorithm", "seeds", "expert_return", "random_return", "env_steps",
    "wall_s", "compile_s", "env_steps_per_s", "peak_memory_mb", "final_return",
    "online_bc_return", "labels",
}  # fmt: skip


@pytest.fixture(scope="module")
def imitate(tmp_path_factory):
    """Run the script; returns the run directory and its summary."""

    def call(name, *options, env="cartpole"):
        path = tmp_path_factory.getbasetemp() / f"dagger-{name}"
        start(run_dagger, "--env", env, "--preset", "smoke", "--out", path, *options)
        return path, summary_of(path)

    return call


@pytest.fixture(scope="module")
def trained(imitate):
    options = ["--num_seeds", "2", "--film_rounds", "0", "3", "--dagger.updates_per_round", "300"]
    return imitate("trained", *options)


def test_the_run_directory_keeps_the_contract(trained):
    path, summary = trained
    assert summary.keys() >= CONTRACT
    assert (summary["env"], summary["algorithm"], summary["rounds"]) == ("cartpole", "dagger", 3)
    assert summary["labels"] == {"dagger": [1500, 1500], "online_bc": [1500, 1500]}
    assert summary["env_steps"] == 1500
    for name in ("final_return", "online_bc_return"):
        assert len(summary[name]["per_seed"]) == 2
    logged = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert {(record["phase"], record["lane"]) for record in logged} == {
        (phase, lane) for phase in ("dagger", "online_bc") for lane in (0, 1)
    }
    beta = {record["phase"]: record["clone/beta"] for record in logged if record["iteration"] == 3}
    assert beta["dagger"] < beta["online_bc"] == 1.0
    assert (path / "figures" / "rounds.png").read_bytes().startswith(b"\x89PNG")
    assert not (path / "figures" / "learning.png").exists()  # it would be a round late


def test_the_learner_comes_near_the_expert(trained):
    _, summary = trained
    assert summary["expert_return"] == 500.0
    assert summary["final_return"]["mean"] > 0.8 * 500.0 > 5 * summary["random_return"]


def test_policies_of_chosen_rounds_are_kept_and_filmed(trained):
    path, summary = trained
    file = {name: path / "policy" / f"{name}.safetensors" for name in ("round00-1", "round03-1")}
    found = {name: artefacts.load_policy(one) for name, one in file.items()}
    env, last = artefacts.load_policy(path / "policy" / "dagger-1.safetensors")
    same = [
        all(map(np.array_equal, jax.tree.leaves(one.params), jax.tree.leaves(last.params)))
        for _, one in found.values()
    ]
    assert same == [False, True]
    for number in (0, 3):
        assert (path / "figures" / f"round{number:02d}.gif").read_bytes().startswith(b"GIF8")
    # What the summary reports was measured of these files.
    first = artefacts.load_policy(path / "policy" / "dagger-0.safetensors")[1]
    others = [
        artefacts.load_policy(path / "policy" / f"online_bc-{lane}.safetensors")[1]
        for lane in (0, 1)
    ]
    params = jax.tree.map(lambda *x: jnp.stack(x), *[one.params for one in (first, last, *others)])
    key_measure, *_ = jax.random.split(jax.random.key(1), 3)
    played = measure.returns(env, {"all": Policy(params=params, act=last.act)}, key_measure, 4)
    expected = summary["final_return"]["per_seed"] + summary["online_bc_return"]["per_seed"]
    assert played["all"].mean(axis=1).tolist() == pytest.approx(expected)


def test_a_finished_run_resumes_to_the_same_result(trained):
    path, summary = trained
    start(run_dagger, "--resume", path)
    assert summary_of(path)["final_return"] == summary["final_return"]
    with pytest.raises(UserError, match=r"seed"):
        start(run_dagger, "--resume", path, "--seed", 9)


def test_options_reach_the_config(imitate):
    expert = catalogue.directory("gridworld") / catalogue.POLICY
    options = [
        "--expert", str(expert), "--no-control", "--dagger.warm_start", "bc", "--num_demos", "2",
        "--dagger.warm_updates", "5", "--dagger.loss", "cross_entropy", "--deterministic",
    ]  # fmt: skip
    path, summary = imitate("options", *options, env="gridworld")
    assert "online_bc_return" not in summary and summary["actions"] == "mode"
    assert summary["labels"] == {"dagger": [30 + summary["demonstrated_steps"]]}
    assert summary["expert_return"] > 0.7  # measured: no card was asked
    assert not list((path / "figures").glob("*.gif"))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--expert", str(catalogue.directory("gridworld"))], "observations of shape"),
        (["--env", "Acrobot-v1"], "no expert is shipped for Acrobot-v1"),
        (["--film_rounds", "9"], "film_rounds must lie between 0 and 3"),
        (["--dagger.loss", "mse"], "action vectors"),
        (["--expert", "nowhere"], "nowhere"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_made(imitate, tmp_path_factory, options, word):
    with pytest.raises(UserError, match=word):
        imitate("refused", *options)
    assert not (tmp_path_factory.getbasetemp() / "dagger-refused").exists()
