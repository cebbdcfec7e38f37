"""A league: cells are runs, none is repeated, and the table says what they found."""

import dataclasses
import json

import pytest

from evil.errors import UserError
from evil.experiments.series import cells, league
from evil.experiments.settings import algorithms
from plotting import league as figures
from scripts import benchmark_il, run_all
from tests.scripts.starting import start


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return league.Config(
        algorithms=("bc",),
        envs=("gridworld",),
        num_demos=3,
        num_seeds=2,
        preset="smoke",
        survival=False,
        out=str(tmp_path_factory.mktemp("league")),
    )


@pytest.fixture(scope="module")
def table(config):
    return json.loads(league.carry_out(config).read_text())["rows"]


def test_every_cell_is_a_line(table):
    assert [row["algorithm"] for row in table] == ["bc", "random"]
    bc, at_random = table
    assert len(bc["returns"]) == len(bc["percent"]) == 2
    assert bc["interval"][0] <= bc["mean"] <= bc["interval"][1]
    assert (bc["env_steps"], bc["updates"] % 10, bc["frozen"]) == (0, 0, 0)
    assert bc["updates"] > 0 and bc["wall_s"] > 0
    assert at_random["returns"] == [bc["random"]] and at_random["interval"] is None


def test_cells_are_not_repeated(config, table, monkeypatch):
    monkeypatch.setattr(cells, "carry_out", lambda *_: pytest.fail("ran again"))
    assert json.loads(league.carry_out(config).read_text())["rows"] == table


def test_another_config_does_not_take_over_a_league(config, table):
    with pytest.raises(UserError, match="was run with seed=1, now asked for seed=2"):
        league.carry_out(dataclasses.replace(config, seed=2))


def test_one_algorithm_on_a_list_of_environments(config, table, capsys):
    start(run_all, "--algorithm", "bc", "--envs", "gridworld", "--num_demos", 3, "--num_seeds", 2,
          "--preset", "smoke", "--out", config.out)  # fmt: skip
    said = capsys.readouterr().out
    assert "gridworld" in said and "random" in said and "league.png" in said


def test_a_list_of_one_algorithm_is_played_by_whom_it_was_asked_for(tmp_path):
    for name, said in (("sqil", "sqil does not go with --learner ppo"), ("sqli", "mean sqil")):
        with pytest.raises(UserError, match=said):
            start(run_all, "--algorithm", name, "--learner", "ppo", "--out", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_league_gives_a_learner_to_all_that_go_with_it():
    config = league.Config(
        algorithms=("gmmil", "sqil", "bc"), envs=("pendulum",), preset="quick", learner="ppo"
    )
    found = {cell.algorithm: league.learner_of(cell.config) for cell in league.cells_of(config)}
    assert found == {"gmmil": "ppo", "sqil": "sac", "bc": "", "survival": "ppo"}
    with pytest.raises(UserError, match="did you mean ppo"):
        league.cells_of(dataclasses.replace(config, learner="pqo"))


def entry(env, algorithm, percent, expert=100.0):
    mean = sum(percent) / len(percent)
    return {
        "env": env,
        "algorithm": algorithm,
        "learner": "",
        "expert": expert,
        "random": -5.0,
        "returns": percent,
        "percent": percent,
        "mean": mean,
        "interval": None if len(percent) == 1 else [min(percent), max(percent)],
        "env_steps": 1000,
        "updates": 10,
        "wall_s": 60.0,
        "compile_s": 0.0,
        "frozen": 0,
    }


def test_the_best_stands_on_top(tmp_path, capsys):
    rows = [
        entry("hopper", "dac", [90.0, 99.0]),
        entry("hopper", "red", [10.0, 20.0]),
        entry("hopper", "random", [0.0]),
        entry("pendulum", "dac", [80.0, 70.0]),
        entry("pendulum", "red", [95.0, 85.0]) | {"frozen": 1},
        entry("pendulum", "random", [0.0]),
    ]
    (tmp_path / "table.json").write_text(json.dumps({"rows": rows}))
    drawn = figures.figure(tmp_path)
    assert [axes.get_title("left") for axes in drawn.axes] == ["hopper", "pendulum"]
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert labels == ["DAC", "RED", "random actions"]
    assert figures.draw(tmp_path).stat().st_size > 10_000
    benchmark_il.show(rows)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "%" not in line]
    order = [words[1] for words in lines if words and words[0] in ("hopper", "pendulum")]
    assert order == ["dac", "red", "random", "red*", "dac", "random"]


def test_everybody_has_the_same_steps():
    config = league.Config(envs=("pendulum",), env_steps=(80_000,), preset="quick")
    found = {cell.algorithm: cell.config for cell in league.cells_of(config)}
    assert set(found) == {*algorithms.NAMES, "survival"}
    steps = {
        name: one.iterations * league.rollout_size(one)
        for name, one in found.items()
        if name != "bc"
    }
    assert all(abs(number - 80_000) <= 4096 / 2 for number in steps.values()), steps
    assert {one.num_seeds for one in found.values()} == {3}
    assert found["survival"].algorithm.reward.kind == "survival"
    assert found["survival"].algorithm.learner == found["sac"].algorithm.learner
    assert (found["survival"].method, found["sac"].method) == ("survival", "sac")
    # Of 312 rollouts with 256 transitions each, an update for sixteen.
    assert league.updates(found["sac"], found["sac"].iterations) == 312 * 16
    game = found["gail"].algorithm.learner
    own = found["gail"].iterations * game.num_epochs * game.num_minibatches
    assert league.updates(found["gail"], found["gail"].iterations) == own
    assert league.updates(found["bc"], 7) == 700


@pytest.mark.parametrize(
    ("value", "expert", "random", "percent"),
    [
        (50.0, 100.0, 10.0, 50.0),
        (-150.0, -100.0, -1100.0, 95.0),
        (900.0, 1900.0, -100.0, 50.0),
        (-1100.0, -100.0, -1100.0, 0.0),
    ],
)
def test_shares_of_the_expert(value, expert, random, percent):
    assert league.of_expert(value, expert, random) == pytest.approx(percent)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"algorithms": ("dacc",)}, "did you mean dac"),
        ({"envs": ()}, "no environment is named"),
        ({"env_steps": (1, 2, 3)}, "env_steps has 3 numbers for 2 environments"),
        ({"algorithms": ("sac",), "envs": ("Acrobot-v1",)}, "no expert is shipped for Acrobot"),
        ({"env_steps": (0,)}, "env_steps must be at least 1"),
        ({"num_seeds": 0}, "num_seeds must be at least 1"),
        ({"algorithms": ("bc",), "tuned": True, "num_demos": 7}, "num_demos 5, 10, 25: found 7"),
    ],
)
def test_wrong_input_gets_one_sentence_and_leaves_nothing(changes, said, tmp_path):
    config = league.Config(envs=("gridworld", "cartpole"), preset="smoke", out=str(tmp_path / "x"))
    with pytest.raises(UserError, match=said):
        league.carry_out(dataclasses.replace(config, **changes))
    assert not (tmp_path / "x").exists()


def test_only_what_was_tuned_has_tuned_values():
    config = league.Config(num_demos=5, envs=("pendulum",), env_steps=(), preset="quick")
    found = [
        {cell.algorithm: cell.config.algorithm for cell in league.cells_of(one)}
        for one in (
            dataclasses.replace(config, algorithms=("airl", "pwil", "sac"), tuned=tuned)
            for tuned in (True, False)
        )
    ]
    assert [name for name in found[0] if found[0][name] != found[1][name]] == ["pwil"]


def test_on_policy_learners_get_enough_rollouts_of_a_small_budget():
    config = league.Config(algorithms=("gail", "dac"), env_steps=(256_000,), preset="quick")
    gail, dac = (league.config_of(config, "hopper", name, 256_000) for name in config.algorithms)
    assert gail.iterations == 125 and gail.algorithm.learner.anneal_iterations == 125
    whole = league.config_of(config, "hopper", "gail", None).algorithm.learner
    cut = gail.algorithm.learner
    assert (whole.num_envs, cut.num_envs, cut.num_steps) == (128, 16, whole.num_steps)
    assert cut.num_envs * cut.num_steps // cut.num_minibatches == 64
    assert dac.algorithm.learner.num_envs == 64
