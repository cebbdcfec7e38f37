"""Sweeps: what they are asked for, what becomes a lane, and that a lane is what its config says."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import environments, registry
from evil.errors import UserError
from evil.experiments import recover
from evil.imitation import bc, irl
from evil.learners import alone, ppo
from evil.networks import actor_critic
from evil.pytrees import traced
from evil.rewards import (
    coupling,
    disagreement,
    ensemble,
    fixed,
    moment_matching,
    support,
)
from evil.running.runner import Phase, run
from evil.running.sweep import locate, points, spread, swept
from evil.seams import Algorithm
from tests.rewards.blobs import DEMOS, ENV, rows

STUDY = recover.Config()
RATES = (1e-2, 1e-3)


def test_a_path_may_leave_out_what_only_wraps():
    rate = locate(STUDY, "learner.learning_rate")
    assert (rate.path, rate.hyper) == ("algorithm.learner.learning_rate", ppo.Hyper)
    penalty = locate(STUDY, "reward.gradient_penalty")
    assert penalty.path == "algorithm.reward.member.gradient_penalty"
    assert penalty.hyper is moment_matching.Hyper
    assert locate(STUDY, "algorithm.reward.member.gradient_penalty") == penalty


def test_what_no_hyper_holds_is_static():
    assert locate(STUDY, "learner.num_steps").hyper is None
    assert locate(STUDY, "iterations").hyper is None
    assert locate(STUDY, "bc.learning_rate").hyper is bc.Hyper


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("learner.lerning_rate", "did you mean learning_rate"),
        ("learnr.learning_rate", "did you mean learner"),
        ("learner", "is a config: expected one of its fields, num_envs"),
        ("learner.learning_rate.more", "unknown field"),
    ],
)
def test_an_unknown_field_is_refused(path, said):
    with pytest.raises(UserError, match=said):
        locate(STUDY, path)


def test_points_are_all_combinations_with_all_draws():
    found = points(STUDY, ["learner.clip=0.1,0.2", "num_demos=5,10"])
    clip = "algorithm.learner.clip"
    assert found == [
        {clip: 0.1, "num_demos": 5}, {clip: 0.1, "num_demos": 10},
        {clip: 0.2, "num_demos": 5}, {clip: 0.2, "num_demos": 10},
    ]  # fmt: skip
    texts = ["learner.clip=0.1,0.2", "learner.learning_rate=loguniform:1e-5:1e-2"]
    drawn = points(STUDY, texts, num_draws=3)
    rates = [point["algorithm.learner.learning_rate"] for point in drawn]
    assert len(drawn) == 6 and rates[:3] == rates[3:] and len(set(rates)) == 3
    assert all(1e-5 <= rate <= 1e-2 for rate in rates)
    assert drawn == points(STUDY, texts, num_draws=3) != points(STUDY, texts, num_draws=3, seed=1)


def test_scales_by_hand():
    (rates, levels) = (
        [next(iter(point.values())) for point in points(STUDY, [f"learner.clip={text}"])]
        for text in ("log:0.01:1:3", "lin:0:1:3")
    )
    np.testing.assert_allclose(rates, [0.01, 0.1, 1.0])
    np.testing.assert_allclose(levels, [0.0, 0.5, 1.0])
    (kinds,) = points(STUDY, ["algorithm.history=all"])
    assert kinds == {"algorithm.history": "all"}
    widths = points(STUDY, ["learner.network.hidden=[8,8],[16]"])
    assert [next(iter(point.values())) for point in widths] == [[8, 8], [16]]


def test_draws_on_a_logarithmic_scale_spread_over_its_decades():
    drawn = points(STUDY, ["learner.learning_rate=loguniform:1e-6:1e-2"], num_draws=400)
    exponents = [math.log10(next(iter(point.values()))) for point in drawn]
    assert abs(np.mean(exponents) + 4.0) < 0.2  # 3 standard errors are 0.17


@pytest.mark.parametrize(
    ("texts", "draws", "said"),
    [
        (["learner.clip"], 0, "name=values"),
        (["learner.clip=log:0:1:3"], 0, "above 0"),
        (["learner.clip=log:1:3"], 0, "3 numbers"),
        (["learner.clip=lin:0:1:two"], 0, "3 numbers"),
        (["learner.clip=lin:0:1:2.5"], 0, "whole number"),
        (["learner.clip=uniform:0:1"], 0, "both or neither"),
        (["learner.clip=0.1"], 4, "both or neither"),
        (["learner.clip=0.1", "algorithm.learner.clip=0.2"], 0, "twice"),
        (["learner.clip=0.1,1e-1"], 0, "a value of algorithm.learner.clip twice"),
        (["learner.clip=uniform:1:0"], 3, "lower bound first"),
        (["learner.clip=nan,1"], 0, "finite numbers, found nan"),
        (["learner.clip=NaN"], 0, "finite numbers"),
        (["learner.clip=lin:0:1:1e12"], 0, "up to 10000"),
        (["learner.clip=lin:0:1:200", "learner.discount=lin:0:1:200"], 0, "40000 points"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(texts, draws, said):
    with pytest.raises(UserError, match=said):
        points(STUDY, texts, draws)


def test_values_reach_every_copy_of_a_hyper():
    game = irl.Config(learner=ppo.Config(discount=0.5), reward=ensemble.Config(size=3))
    fields = [locate(game, "learner.clip"), locate(game, "reward.weight_decay")]

    def copies(hyper, config, count):
        return jax.vmap(lambda _: traced(hyper, config))(jnp.arange(count))

    def init(key, data):
        learner = {"hyper": copies(ppo.Hyper, game.learner, 2)}
        reward = copies(moment_matching.Hyper, game.reward.member, 3)
        return {"learner": learner, "reward": reward}

    algorithm = Algorithm(init, None, None, None, 0)
    values = {"learner.clip": 0.5, "reward.member.weight_decay": 7.0}
    found = swept(algorithm, fields).init(None, {"given": (), "point": values})
    assert found["learner"]["hyper"].clip.tolist() == [0.5, 0.5]
    assert found["learner"]["hyper"].discount.tolist() == [0.5, 0.5]
    assert found["reward"].weight_decay.tolist() == [7.0, 7.0, 7.0]
    assert init(None, ())["reward"].weight_decay.tolist() != [7.0, 7.0, 7.0]  # it was for once
    fixed_ = dataclasses.replace(algorithm, init=lambda *_: traced(ppo.Hyper, game.learner))
    with pytest.raises(UserError, match=r"reward.member.weight_decay cannot be swept"):
        swept(fixed_, fields).init(None, {"given": (), "point": values})


BATCH = dataclasses.replace(rows(jax.random.key(1), 8), reward=jnp.ones(8))
RED = support.Config(target_hidden=(4,), hidden=(4,), outputs=2, fit_updates=5)
DRIL = disagreement.Config(hidden=(4,), fit_updates=5, reward="cost")


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (RED, {"learning_rate": 0.1, "weight_decay": 1.0, "held_out": 0.5, "expert_reward": 0.5}),
        (DRIL, {"learning_rate": 0.1, "weight_decay": 1.0, "quantile": 0.5}),
        (coupling.Config(max_rows=8), {"scale": 2.0, "bandwidth": 0.5}),
        (fixed.Config(), {"scale": 3.0}),
    ],
)
def test_what_a_reward_is_made_with_is_a_lane_of_its_own(config, changes):
    fields = [locate(config, name) for name in changes]
    assert all(field.hyper for field in fields)

    def paid(config, fields, values):
        model = registry.make(config, ENV)
        data = {"given": DEMOS, "point": values}
        algorithm = swept(Algorithm(model.init, None, None, None, 0), fields)
        params = model.params(algorithm.init(jax.random.key(0), data))
        steps = jax.tree.map(lambda x: x[:, None], BATCH)
        return model.score.apply(params, model.score.memory(1), steps)[0]

    values = {name: jnp.array([getattr(config, name), value]) for name, value in changes.items()}
    usual, ours = jax.jit(jax.vmap(lambda values: paid(config, fields, values)))(values)
    theirs = jax.jit(lambda: paid(dataclasses.replace(config, **changes), [], {}))()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert not np.allclose(ours, usual, rtol=1e-2)


def phase(rate, traces):
    """Two seeds of PPO; `traces` grows with every trace of its step."""
    config = ppo.Config(
        num_envs=4, num_steps=4, num_epochs=2, num_minibatches=2, learning_rate=rate,
        network=actor_critic.Config(hidden=(8,)),
    )  # fmt: skip
    algorithm = alone.make(ppo.make(config, environments.make("gridworld"), fixed.real()))

    def step(state, data):
        traces.append(None)
        return algorithm.step(state, data)

    return config, Phase(
        name="rl",
        algorithm=dataclasses.replace(algorithm, step=step),
        data=(),
        keys=jax.random.split(jax.random.key(0), 2),
        iterations=3,
        chunk=3,
    )


def test_four_lanes_compile_once_and_each_is_the_run_of_its_config():
    traces = []
    config, one = phase(RATES[0], traces)
    field = locate(config, "learning_rate")
    outcome = run(spread(one, [field], [{"learning_rate": rate} for rate in RATES]))
    whole = outcome.states
    assert len(traces) == 1 and not outcome.frozen
    assert whole.hyper.learning_rate.tolist() == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3])
    for index, rate in enumerate(RATES):
        alone_ = run(phase(rate, [])[1]).states
        for lane in range(2):
            ours = jax.tree.map(lambda x, at=2 * index + lane: x[at], whole.network)
            theirs = jax.tree.map(lambda x, at=lane: x[at], alone_.network)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), ours, theirs)
    moved = [float(jnp.abs(x[0] - x[2]).max()) for x in jax.tree.leaves(whole.network)]
    assert max(moved) > 1e-3  # the rates do differ
