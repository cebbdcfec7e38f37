"""scripts/run_sweep.py: lanes, ranks and figures in one run directory."""

import argparse
import dataclasses
import json

import jax
import numpy as np
import pytest

from evil.errors import UserError
from evil.experiments.series import sweep
from evil.experiments.settings import algorithms, presets
from evil.running.runner import Frozen, Outcome, Session
from scripts import run_irl, run_sweep
from tests.scripts.starting import start, summary_of

CONTRACT = {
    "env", "backend", "algorithm", "seeds", "expert_return", "random_return", "env_steps",
    "wall_s", "compile_s", "env_steps_per_s", "peak_memory_mb", "final_return", "ranking", "lanes",
}  # fmt: skip
SMALL = ("--env", "gridworld", "--preset", "smoke", "--num_seeds", 2)


VALUES = ("--num_retrained", 2, "--sweep", "learner.learning_rate=1e-9,1e-2", "num_demos=2,20")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of the main study: two rates and two numbers of demonstrations."""
    path = tmp_path_factory.mktemp("sweep") / "run"
    start(run_sweep, *SMALL, "--irl_plus", *VALUES, "--out", path)
    return path, summary_of(path)


def test_the_run_directory_keeps_the_contract(swept):
    path, summary = swept
    assert summary.keys() >= CONTRACT
    assert (summary["env"], summary["algorithm"]) == ("gridworld", "sweep of irl")
    assert len(summary["final_return"]["per_seed"]) == len(summary["lanes"]) == 8
    for name in ("sweep", "sweep_parallel", "sweep_learning"):
        assert (path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert not (path / "figures" / "learning.png").exists()  # it would pool all points
    logged = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert {(r["phase"], r["lane"]) for r in logged} == {
        (phase, lane) for phase, lanes in (("irl", 8), ("retrain", 16)) for lane in range(lanes)
    }


def test_a_lane_is_worth_both_of_its_returns_and_a_point_its_lanes(swept):
    _, summary = swept
    for row in summary["lanes"]:
        assert row["objective"] == pytest.approx(row["return"] + row["retrain_return"])
    ranking = summary["ranking"]
    assert [entry["objective"] for entry in ranking] == sorted(
        (entry["objective"] for entry in ranking), reverse=True
    )
    for entry in ranking:
        own = [row["objective"] for row in summary["lanes"] if row["point"] == entry["point"]]
        assert own == entry["per_seed"] and len(own) == 2


def test_points_share_their_seeds_and_differ_in_what_is_swept(swept):
    path, summary = swept
    logged = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    last = {r["lane"]: r for r in logged if r["phase"] == "irl" and r["iteration"] == 6}
    rates = [last[lane]["learner/learning_rate"] for lane in range(8)]
    assert max(rates[:4]) < 1e-4 < min(rates[4:])
    # Nearly without a step every policy stays what it was: the same seeds, whatever the demos.
    lanes = summary["lanes"]
    assert [row["return"] for row in lanes[:2]] == [row["return"] for row in lanes[2:4]]
    # But the rewards answer other demonstrations.
    assert last[0]["reward/gap"] != last[2]["reward/gap"]


def first_metrics(path):
    """What each lane of each phase logged after one iteration."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return {
        (line["phase"], line["lane"]): {name: x for name, x in line.items() if "/" in name}
        for line in lines
        if line["iteration"] == 1
    }


def test_a_lane_is_the_run_of_its_config(swept, tmp_path):
    path, summary = swept
    given = ["--num_demos", 2, "--algorithm.learner.learning_rate", 1e-2, "--num_retrained", 2]
    start(run_irl, *SMALL, "--irl_plus", *given, "--out", tmp_path / "run")
    points = [list(row["point"].values()) for row in summary["lanes"]]
    first = points.index([1e-2, 2])
    # To rounding, from which later iterations part: sooner or later another action is drawn.
    ours, alone = first_metrics(path), first_metrics(tmp_path / "run")
    for lane in range(2):
        assert ours["irl", first + lane] == pytest.approx(alone["irl", lane], rel=1e-3, abs=1e-4)
    # Each fresh policy is paid by the reward of its own lane, here the end of such a parting.
    for lane in range(4):
        paid, expected = ours["retrain", 2 * first + lane], alone["retrain", lane]
        name = "agent/scored_return"
        assert paid[name] == pytest.approx(expected[name], rel=0.05)


def test_parts_of_a_sweep_come_to_the_same(tmp_path):
    given = [*SMALL, "--what", "rl", "--sweep", "learner.learning_rate=1e-9,1e-2"]
    start(run_sweep, *given, "--out", tmp_path / "whole")
    start(run_sweep, *given, "--lanes_per_program", 3, "--out", tmp_path / "cut")
    whole, cut = (summary_of(tmp_path / name) for name in ("whole", "cut"))
    assert {row["phase"] for row in cut["lanes"]} == {"rl-part-0", "rl-part-1"}
    assert min(whole["predicted_memory_mb"], cut["predicted_memory_mb"]) > 0
    for ours, theirs in zip(cut["lanes"], whole["lanes"], strict=True):
        assert ours["point"] == theirs["point"] and ours["seed"] == theirs["seed"]
        assert ours["objective"] == pytest.approx(theirs["objective"], abs=1e-3)


def test_a_finished_sweep_resumes_to_the_same_result(swept):
    path, summary = swept
    start(run_sweep, "--resume", path)
    for name in ("lanes", "predicted_memory_mb"):
        assert summary_of(path)[name] == summary[name]


def test_static_fields_are_run_one_after_the_other(tmp_path):
    path = tmp_path / "run"
    given = ["--what", "bc", "--bc_iterations", 1, "--sweep", "bc.batch_size=8,16", "--out", path]
    start(run_sweep, *SMALL, *given)
    assert {row["phase"] for row in summary_of(path)["lanes"]} == {"bc-0", "bc-1"}


def named(algorithm, **changes):
    """The sweep of an algorithm on gridworld, as a command line has it before its own options."""
    asked = {"env": "gridworld", "preset": "smoke", "backend": None, "iterations": None}
    asked |= {"irl_plus": False, "recipe": "default", "num_demos": 5, "tuned": False}
    asked |= {"learner": None}
    return run_sweep.default(argparse.Namespace(**(asked | {"algorithm": algorithm} | changes)))


LANES = {
    "bc": "bc.weight_decay=0.0,0.1",
    "dac": "reward.gradient_penalty=0.1,1.0",
    "dril": "reward.quantile=0.9,0.98",
    "fairl": "reward.learning_rate=1e-4,1e-3",
    "pwil": "reward.bandwidth=1.0,5.0",
    "red": "reward.learning_rate=1e-4,1e-3",
    "sac": "reward.scale=1.0,2.0",
}


@pytest.mark.parametrize("name", algorithms.NAMES)
def test_any_algorithm_is_swept_by_its_name(name):
    lanes = LANES.get(name, "learner.discount=0.9,0.99")
    size = "bc.batch_size" if name == "bc" else "learner.network.hidden"
    own = (lanes, f"{size}={'8,16' if name == 'bc' else '[8],[16]'}")
    config = dataclasses.replace(named(name), sweep=own)
    ready = sweep.study(config)
    assert ready.swept == name
    assert [len(group.points) for group in ready.groups] == [2, 2]
    assert [field.path.endswith(lanes.partition("=")[0]) for field in ready.traced] == [True]
    for leaf in jax.tree.leaves(ready.first(ready.groups[0], ready.key, ready.key).states):
        assert leaf.shape[0] == 2 * 5  # and something reads what is swept
    usual = algorithms.imitation(name, "gridworld", "smoke", num_demos=5)
    if name == "bc":
        assert (config.study.bc, config.study.bc_iterations) == (usual.bc, usual.iterations)
        assert config.study.num_demos == 5
    else:
        assert config.study == dataclasses.replace(usual, num_seeds=5)


def test_what_is_played_alone_is_worth_its_return(monkeypatch):
    config = dataclasses.replace(named("sqil"), sweep=("learner.discount=0.9,0.99",))
    ready = sweep.study(config)

    def run(phase, session, limit):
        outcome = Outcome(None, 1, 1, 1.0, 1.0, 1.0, (), {})
        return sweep.parts.Parts([phase], phase.lanes, lambda: None, 1.0), outcome

    monkeypatch.setattr(sweep.parts, "run", run)
    monkeypatch.setattr(sweep, "played", lambda *given: np.arange(10.0)[:, None])
    rows = ready.carry_out(ready.groups[0], Session())["lanes"]
    assert [row["objective"] for row in rows] == [row["return"] for row in rows] == [*range(10)]
    assert not any("retrain_return" in row for row in rows)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"algorithm": "dagger"}, "dagger cannot be swept yet: expected one of bc, adril"),
        ({"algorithm": "mce"}, "mce cannot be swept yet"),
        ({"algorithm": "dacc"}, "unknown algorithm 'dacc': did you mean dac"),
        ({"algorithm": "gail", "irl_plus": True}, "--irl_plus and --recipe say how"),
        ({"algorithm": None, "tuned": True}, "--tuned and --learner go with an --algorithm"),
        ({"algorithm": None, "learner": "ppo"}, "which is not named"),
        ({"algorithm": "sqil", "learner": "ppo"}, "sqil does not go with"),
    ],
)
def test_what_no_sweep_goes_by_is_refused(asked, said):
    with pytest.raises(UserError, match=said):
        named(**asked)


def test_the_discount_of_critics_that_shape_is_not_swept():
    usual = presets.recovery("cartpole", "smoke", irl_plus=True)
    config = sweep.Config(
        study=dataclasses.replace(usual, shaped=True), sweep=("learner.discount=0.9,0.99",)
    )
    with pytest.raises(UserError, match="critics that shape have one discount"):
        sweep.study(config)


def test_a_row_says_which_lanes_broke_in_either_phase(monkeypatch):
    """Of two points and two seeds, the third game and the second policy of the first reward."""
    given = ("learner.clip=0.1,0.2",)
    usual = presets.recovery("gridworld", "smoke", irl_plus=True)
    usual = dataclasses.replace(usual, num_seeds=2, num_retrained=2)
    ready = sweep.study(sweep.Config(study=usual, sweep=given))

    def done(lanes, broken):
        frozen = (Frozen(lane=broken, iteration=1, metric="x"),)
        outcome = Outcome(None, 1, 1, 1.0, 1.0, 1.0, frozen, {})
        first = ready.first(ready.groups[0], ready.key, ready.key)
        return sweep.parts.Parts([first], lanes, lambda: None, 1.0), outcome

    found = [done(4, 2), done(8, 1)]
    monkeypatch.setattr(sweep.parts, "run", lambda *given: found.pop(0))
    monkeypatch.setattr(sweep.Sweep, "again", lambda *given: None)
    monkeypatch.setattr(sweep, "played", lambda study, cut, *given: np.zeros((cut.lanes, 1)))
    rows = ready.carry_out(ready.groups[0], Session())["lanes"]
    assert [row["frozen"] for row in rows] == [True, False, True, False]


def test_reinforcement_learning_needs_no_expert():
    alone = presets.recovery("MountainCar-v0", "smoke", irl_plus=True)
    swept = ("learner.learning_rate=1e-4,1e-3",)
    found = sweep.study(sweep.Config(what="rl", study=alone, sweep=swept))
    assert found.groups[0].study.problem.demos.length.size == 0
    with pytest.raises(UserError, match="no expert is shipped"):
        sweep.study(sweep.Config(study=alone, sweep=swept))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sweep": ()}, "nothing is swept"),
        ({"what": "lr", "sweep": ("learner.clip=0.1",)}, "unknown kind of sweep"),
        ({"what": "bc", "sweep": ("learner.clip=0.1",)}, "means nothing to a sweep of bc"),
        ({"what": "rl", "sweep": ("num_demos=1,2",)}, "means nothing to a sweep of rl"),
        ({"what": "rl", "sweep": ("reward.size=1,2",)}, "means nothing to a sweep of rl"),
        ({"sweep": ("seed=1,2",)}, "seed means nothing to a sweep of irl"),
        ({"sweep": ("recipe=default,gail",)}, "recipe means nothing"),
        ({"sweep": ("num_demos=5,null",)}, "num_demos is None: expected whole numbers"),
        ({"sweep": ("num_demos=lin:5:15:3",)}, "should be .*int"),
        ({"sweep": ("learner.clip=yes",)}, "should be .*float"),
        ({"sweep": ("learner.num_steps=0",)}, "num_steps must be at least 1"),
        ({"sweep": ("num_demos=1,99",)}, "asked for 99 demonstrations"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_runs(changes, said):
    usual = presets.recovery("gridworld", "smoke", irl_plus=True)
    with pytest.raises(UserError, match=said):
        sweep.study(sweep.Config(**({"study": usual} | changes)))
