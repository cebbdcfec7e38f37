"""scripts/evaluate.py: what it reports of policies whose worth is known, and what it refuses."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from evil import demonstrations, environments, normalise
from evil.demonstrations import catalogue
from evil.errors import UserError
from evil.experiments import evaluate as evaluation
from evil.experiments.shared import artefacts
from evil.learners import policies
from evil.networks import actor_critic
from evil.rewards import ensemble, labels, moment_matching
from scripts import evaluate

ROOT = Path(__file__).resolve().parents[2]
EXPERT = catalogue.directory("gridworld") / "policy.safetensors"


def untrained(path, network, seed=0):
    """A policy of random weights, as a file."""
    env = environments.make("gridworld")
    module = actor_critic.make(network, env.spec)
    params = {
        "network": module.init(jax.random.key(seed), np.zeros((1, 5), np.float32)),
        "obs_moments": normalise.init((5,)),
    }
    artefacts.save_policy(path, policies.make(network, module, params), network, env.spec)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with the shipped expert as irl-0, and with two policies that know nothing."""
    path = tmp_path_factory.mktemp("run")
    (path / "policy").mkdir()
    (path / "config.json").write_text("{}")
    (path / "summary.json").write_text('{"expert_return": 0.5, "random_return": 0.125}')
    shutil.copy(EXPERT, path / "policy" / "irl-0.safetensors")
    _, config, _ = artefacts._described(EXPERT, "policy")
    untrained(path / "policy" / "irl-1", config)
    untrained(path / "policy" / "retrain-1", actor_critic.Config(hidden=(8,)))
    return path


def files_in(path):
    return {file: file.stat().st_mtime_ns for file in path.rglob("*")}


def test_policies_are_played_and_filmed(run, tmp_path, capsys):
    before = files_in(run)
    out, film = tmp_path / "out.json", tmp_path / "film.gif"
    evaluate.main([str(run), "--episodes", "64", "--out", str(out), "--render", str(film)])
    assert files_in(run) == before

    found = json.loads(out.read_text())
    assert (found["expert_return"], found["random_return"]) == (0.5, 0.125)
    assert (found["env"], found["episodes"], found["seed"]) == ("gridworld", 64, 0)
    assert list(found["policies"]) == ["irl-0", "irl-1", "retrain-1"]
    for one in found["policies"].values():
        assert len(one["returns"]) == len(one["lengths"]) == 64
        assert set(one["returns"]) <= {0.0, 1.0} and max(one["lengths"]) <= 10
        assert one["mean"] == pytest.approx(np.mean(one["returns"]))
    means = {name: one["mean"] for name, one in found["policies"].items()}
    assert means["irl-0"] > 0.95
    assert max(means["irl-1"], means["retrain-1"]) < 0.7

    printed = capsys.readouterr().out
    assert "random actions" in printed and "retrain-1" in printed
    assert f"{100 * means['irl-0'] / 0.5:.0f} %" in printed  # of the run's expert, not the shipped
    assert "film.gif: irl-0" in printed  # the best of them
    with Image.open(film) as image:
        assert image.format == "GIF" and image.n_frames > 6 and image.size == (640, 400)


def test_policies_alike_share_one_program(run):
    loaded = evaluation.load(evaluation.find(run), deterministic=False)
    first, second, other = (one.policy.act for one in loaded)
    assert first is second and first is not other
    assert loaded[0].env is loaded[1].env


def test_seed_and_mode_are_heeded(run, tmp_path):
    def returns(*options):
        out = tmp_path / "out.json"
        options = [str(run), "--policy", "irl-1", "--episodes", "32", "--out", str(out), *options]
        evaluate.main(options)
        one = json.loads(out.read_text())["policies"]["irl-1"]
        return one["returns"], one["lengths"]

    assert returns() == returns()
    assert returns() != returns("--seed", "1")
    assert returns() != returns("--deterministic")


def test_policies_can_be_chosen(run):
    found = evaluation.find(run)
    assert list(evaluation.choose(found, None, None)) == ["irl-0", "irl-1", "retrain-1"]
    assert list(evaluation.choose(found, "irl", None)) == ["irl-0", "irl-1"]
    assert list(evaluation.choose(found, "irl-1", None)) == ["irl-1"]
    assert list(evaluation.choose(found, None, 1)) == ["irl-1", "retrain-1"]
    assert list(evaluation.choose(found, "retrain", 1)) == ["retrain-1"]
    with pytest.raises(UserError, match=r"unknown policy 'retrian': did you mean retrain"):
        evaluation.choose(found, "retrian", None)
    with pytest.raises(UserError, match=r"no policy of lane 0 among retrain-1"):
        evaluation.choose(found, "retrain", 0)


def test_an_expert_and_a_file_can_be_evaluated(tmp_path, capsys):
    page = tmp_path / "film.html"
    evaluate.main([str(EXPERT.parent), "--episodes", "8", "--render", str(page)])
    evaluate.main([str(EXPERT), "--episodes", "8"])
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert capsys.readouterr().out.count("expert") >= 2


def test_the_best_policy_demonstrates(run, tmp_path):
    file = tmp_path / "more.npz"
    evaluate.main([str(run), "--episodes", "32", "--demonstrate", str(file)])
    spec = environments.make("gridworld").spec
    demos, meta = demonstrations.load(file, spec)
    assert demos.length.shape == (32,)
    assert demos.reward.sum() / 32 > 0.9  # the expert's, not the others'
    assert "irl-0" in meta["demonstrated_by"]


def test_an_unfinished_run_is_named_as_such(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"has no policies: the run has not finished"):
        evaluate.main([str(tmp_path)])


def test_policies_of_different_worlds_are_not_mixed(tmp_path):
    for name in ("gridworld", "cartpole"):
        source = catalogue.directory(name) / "policy.safetensors"
        shutil.copy(source, tmp_path / f"{name}.safetensors")
    with pytest.raises(UserError, match=r"for cartpole and gridworld: choose --policy"):
        evaluate.main([str(tmp_path)])


@pytest.fixture(scope="module")
def reward(tmp_path_factory):
    """A reward that nobody trained, as a file."""
    env = environments.make("gridworld")
    config = ensemble.Config(member=moment_matching.Config(hidden=(4,)), size=2)
    model = ensemble.make(config, env)
    demos, _ = catalogue.demonstrations(env.spec)
    params = model.params(jax.jit(model.init)(jax.random.key(0), demos))
    path = tmp_path_factory.mktemp("reward") / "mine"
    return artefacts.save_reward(path, params, config, env.spec)


def test_a_reward_retrains_fresh_policies(reward, tmp_path, capsys):
    out = tmp_path / "out.json"
    options = ["--retrain", "2", "--iterations", "1", "--episodes", "4", "--out", str(out)]
    evaluate.main([str(reward), *options, "--deterministic"])
    policies = json.loads(out.read_text())["policies"]
    assert list(policies) == ["retrain-0", "retrain-1", "rl-0", "survival-0"]
    assert all(len(one["returns"]) == 4 for one in policies.values())
    said = " ".join(capsys.readouterr().out.split())  # whatever the terminal's width
    assert "retrained from scratch, playing the mode" in said and "retrain (IQM)" in said


def test_labels_teach_nobody_anew(tmp_path):
    env = environments.make("gridworld")
    params = {"episodes": np.ones((), np.float32)}
    path = artefacts.save_reward(tmp_path / "labels", params, labels.Config(), env.spec)
    with pytest.raises(UserError, match="labels of origin teach nobody anew"):
        evaluate.main([str(path), "--retrain", "1"])


def test_only_rewards_can_be_retrained(run):
    with pytest.raises(UserError, match=r"has no recovered rewards: expected a finished run"):
        evaluate.main([str(run), "--retrain", "1"])
    with pytest.raises(UserError, match=r"nowhere: expected a run directory or a reward file"):
        evaluate.main(["nowhere", "--retrain", "1"])
    with pytest.raises(UserError, match=r"expected a reward of this library, found 'policy'"):
        evaluate.main([str(EXPERT), "--retrain", "1"])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--retrain", "0"], r"--retrain must be 1 or more, found 0"),
        (["--retrain", "2", "--lane", "1", "--policy", "irl"], r"leave out --policy and --lane"),
        (["--retrain", "2", "--lane", "0"], r"leave out --lane"),
        (["--iterations", "5"], r"--iterations is for --retrain"),
        (["--render", "film.png"], r"expected a file name in \.gif or \.html"),
        (["--demonstrate", "more.pkl"], r"expected a file name in \.npz"),
        (["--demonstrate", "nowhere/more.npz"], r"there is no folder .*nowhere"),
        (["--render", "nowhere/film.gif"], r"there is no folder .*nowhere"),
        (["--out", "."], r"expected a file, found a folder"),
        (["--episodes", "0"], r"--episodes must be 1 or more, found 0"),
        (["--policy", "nobody"], r"unknown policy 'nobody'"),
    ],
)
def test_wrong_options_are_refused_before_playing(run, options, problem, monkeypatch):
    monkeypatch.setattr(evaluation, "play", lambda *_: pytest.fail("played"))
    with pytest.raises(UserError, match=problem):
        evaluate.main([str(run), *options])


def test_wrong_input_exits_with_two(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "evaluate.py", tmp_path / "nothing"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr and not done.stdout
