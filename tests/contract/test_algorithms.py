"""What every algorithm promises the runner. To add an algorithm is to add a row."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import config as configs
from evil import normalise
from evil.demonstrations.demonstrations import from_episodes
from evil.environments import gridworld
from evil.errors import UserError
from evil.imitation import bc, dagger, irl, pretraining
from evil.learners import alone, policies, ppo, sac
from evil.networks import actor_critic
from evil.rewards import (
    adversarial,
    coupling,
    ensemble,
    fixed,
    labels,
    moment_matching,
    potential,
)
from evil.seams import Algorithm
from evil.shaping import evil, strategies
from evil.tabular import fitting, maxent, mce, occupancy, optimisers, relent, trajectories, worlds

ENV = gridworld.make()
STEPS = 10

PPO = ppo.Config(
    num_envs=4,
    num_steps=4,
    num_epochs=2,
    num_minibatches=2,
    network=actor_critic.Config(hidden=(8,)),
    num_starts=4,
)
SAC = sac.Config(
    num_envs=4,
    num_steps=4,
    update_ratio=0.125,
    batch_size=8,
    capacity=64,
    warmup=16,  # one rollout: the first step learns
    network=dataclasses.replace(sac.Config().network, hidden=(8,)),
    num_starts=4,
)
MODEL = moment_matching.Config(hidden=(8,), batch_size=8)


def demonstrations() -> Any:
    """Two walks through the gridworld, made up."""
    rng = np.random.default_rng(0)
    return from_episodes(
        [
            {
                "obs": rng.random((length + 1, *ENV.spec.obs_shape)),
                "action": rng.integers(0, 4, length),
                "terminated": length < 10,
            }
            for length in (6, 10)
        ]
    )


def shaping() -> Any:
    """The real reward, observations as they are, and no shaping yet."""
    width = ENV.spec.obs_shape[0]
    start = potential.make(potential.Config(hidden=(8,)), ENV).init(jax.random.key(0))
    units = {"mean": jnp.zeros(width), "std": jnp.ones(width)}
    return {"reward": (), "start": start, "physics": None, **units}


def expert() -> tuple[Any, Any]:
    """A policy that labels, and what its distribution is made of."""
    module = actor_critic.make(PPO.network, ENV.spec)
    network = jax.jit(module.init)(jax.random.key(7), jnp.zeros((1, *ENV.spec.obs_shape)))
    params = {"network": network, "obs_moments": normalise.init(ENV.spec.obs_shape)}
    policy = policies.make(PPO.network, module, params)
    return policy, policies.distribution(PPO.network, module)


WORLD = worlds.make("gridworld")
FIT = fitting.Config(updates_per_iteration=2)


def task() -> Any:
    """The gridworld as a finite world, and four walks at random through it."""
    walk = occupancy.uniform(WORLD.mdp)
    walks = trajectories.rollout(jax.random.key(0), WORLD.mdp, walk, WORLD.horizon, 4)
    return fitting.Task(mdp=WORLD.mdp, demos=walks)


@dataclasses.dataclass(frozen=True)
class Row:
    """A config, how it becomes an algorithm, and what that algorithm's data are."""

    config: Any
    make: Callable[[Any], Algorithm]
    data: Callable[[], Any]
    steps_per_iteration: int = PPO.num_envs * PPO.num_steps


ROWS = {
    "ppo": Row(PPO, lambda c: alone.make(ppo.make(c, ENV, fixed.real())), lambda: ()),
    "sac": Row(SAC, lambda c: alone.make(sac.make(c, ENV, fixed.real())), lambda: ()),
    "irl": Row(
        irl.Config(
            learner=PPO,
            reward=ensemble.Config(member=MODEL, size=1),
            updates_per_iteration=2,
            history="current",
        ),
        lambda c: irl.make(c, ENV),
        demonstrations,
    ),
    "irl_off_policy": Row(
        irl.Config(
            learner=SAC,
            reward=ensemble.Config(member=MODEL, size=1),
            updates_per_iteration=2,
            rows_per_iteration=8,
            capacity=32,
            reset_probability=0.5,
        ),
        lambda c: irl.make(c, ENV),
        demonstrations,
    ),
    "labels": Row(
        irl.Config(
            learner=dataclasses.replace(SAC, expert_share=0.5, round_length=32),
            reward=labels.Config(kind="adril"),
            updates_per_iteration=1,
            history="current",
        ),
        lambda c: irl.make(c, ENV),
        demonstrations,
    ),
    "everything_of_the_expert": Row(
        irl.Config(
            learner=dataclasses.replace(SAC, prefill=20, cloning_batch=8, absorbing="stored"),
            reward=adversarial.Config(hidden=(8,), batch_size=8, absorbing_steps=1),
            updates_per_iteration=1,
            update_interval=2,
            history="current",
            pretraining=pretraining.Config(updates=2, batch_size=8),
        ),
        lambda c: irl.make(c, ENV),
        demonstrations,
    ),
    "coupling_with_the_experts_rows": Row(
        irl.Config(
            learner=dataclasses.replace(SAC, expert_share=0.5),
            reward=coupling.Config(max_rows=20, batch_size=8),
            updates_per_iteration=1,
            history="current",
        ),
        lambda c: irl.make(c, ENV),
        demonstrations,
    ),
    "coupling": Row(
        irl.Config(
            learner=dataclasses.replace(PPO, cloning_batch=4),
            reward=coupling.Config(max_rows=20, batch_size=8),
            updates_per_iteration=1,
            history="current",
        ),
        lambda c: irl.make(c, ENV),
        demonstrations,
    ),
    "airl": Row(
        irl.Config(
            learner=SAC,
            reward=adversarial.Config(
                hidden=(8,), batch_size=8, shaped=True, subtract_log_policy=True
            ),
            updates_per_iteration=2,
            rows_per_iteration=16,
            capacity=64,
        ),
        lambda c: irl.make(c, ENV),
        demonstrations,
    ),
    "irl_plus_plus": Row(
        irl.Config(
            learner=PPO,
            reward=ensemble.Config(member=MODEL, size=2),
            updates_per_iteration=2,
            history="all",
            rows_per_iteration=8,
            capacity=32,
            reset_probability=0.5,
        ),
        lambda c: irl.make(c, ENV),
        demonstrations,
    ),
    "evil": Row(
        evil.Config(
            learner=PPO,
            potential=potential.Config(hidden=(8,)),
            strategy=strategies.Config(population=4),
            inner_iterations=2,
        ),
        lambda c: evil.make(c, ENV, fixed.real()),
        shaping,
        steps_per_iteration=4 * 2 * PPO.num_envs * PPO.num_steps,
    ),
    "mce": Row(mce.Config(fit=FIT), lambda c: mce.make(c, WORLD), task, 0),
    "mce_by_lbfgs": Row(
        mce.Config(
            fit=dataclasses.replace(FIT, optimiser=optimisers.Config(name="lbfgs"), penalty=0.1)
        ),
        lambda c: mce.make(c, WORLD),
        task,
        0,
    ),
    "maxent": Row(maxent.Config(fit=FIT), lambda c: maxent.make(c, WORLD), task, 0),
    "relent": Row(
        relent.Config(fit=FIT, num_episodes=4, per_start=2),
        lambda c: relent.make(c, WORLD),
        task,
        2 * 4 * WORLD.horizon,
    ),
    "bc": Row(
        bc.Config(network=PPO.network, batch_size=8, updates_per_iteration=2),
        lambda c: bc.make(c, ENV),
        demonstrations,
        steps_per_iteration=0,
    ),
    "dagger": Row(
        dagger.Config(
            network=PPO.network,
            loss="kl",
            rounds=4,
            num_envs=2,
            num_starts=2,
            beta="geometric",
            warm_start="bc",
            warm_updates=2,
            updates_per_round=2,
            batch_size=8,
        ),
        lambda c: dagger.make(c, ENV, *expert()),
        lambda: dagger.Data(
            expert=expert()[0].params, expert_acts=jnp.zeros((), bool), demos=demonstrations()
        ),
        steps_per_iteration=20,
    ),
}


@dataclasses.dataclass(frozen=True)
class Compiled:
    """An algorithm and its jitted functions; the step consumes the state that it is given."""

    algorithm: Algorithm
    data: Any
    init: Callable[..., Any]
    step: Callable[..., Any]
    bodies: list[None]  # one for each time that the step was traced

    def run(self, seed: int, steps: int) -> tuple[Any, list[dict[str, Any]]]:
        """The state after some steps, and the metrics of each."""
        state, metrics = self.init(jax.random.key(seed), self.data), []
        for _ in range(steps):
            state, now = self.step(state, self.data)
            metrics.append(now)
        return state, metrics


def compiled(row: Row) -> Compiled:
    algorithm, bodies = row.make(row.config), []

    def step(state: Any, data: Any) -> Any:
        bodies.append(None)
        return algorithm.step(state, data)

    jitted = jax.jit(step, donate_argnums=0)
    return Compiled(algorithm, row.data(), jax.jit(algorithm.init), jitted, bodies)


@pytest.fixture(scope="module", params=ROWS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def row(name: str) -> Row:
    return ROWS[name]


@pytest.fixture(scope="module")
def program(row: Row) -> Compiled:
    return compiled(row)


@pytest.fixture(scope="module")
def ten(program: Compiled) -> tuple[Any, list[dict[str, Any]]]:
    """The state after ten steps and the metrics of each."""
    return program.run(seed=0, steps=STEPS)


def is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def arrays(tree: Any) -> list[np.ndarray]:
    """The leaves as numpy arrays, keys as their words."""
    leaves = jax.tree.leaves(tree)
    return [np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in leaves]


def equal(x: Any, y: Any) -> bool:
    pairs = zip(arrays(x), arrays(y), strict=True)
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)


def test_a_step_keeps_the_form_of_the_state(program: Compiled) -> None:
    before = jax.eval_shape(program.algorithm.init, jax.random.key(0), program.data)
    after, _ = jax.eval_shape(program.algorithm.step, before, program.data)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    pairs = zip(
        jax.tree_util.tree_leaves_with_path(before),
        jax.tree_util.tree_leaves_with_path(after),
        strict=True,
    )
    for (path, x), (_, y) in pairs:
        where = jax.tree_util.keystr(path)
        found, expected = ((z.shape, z.dtype, z.weak_type) for z in (y, x))
        assert found == expected, where
        assert not x.weak_type, where


def test_ten_steps_are_traced_once(program: Compiled, ten: Any) -> None:
    del ten
    assert len(program.bodies) == 1


def test_the_state_is_donated(program: Compiled) -> None:
    state = program.init(jax.random.key(0), program.data)
    program.step(state, program.data)
    paths = jax.tree_util.tree_leaves_with_path(state)
    kept = [jax.tree_util.keystr(path) for path, leaf in paths if not leaf.is_deleted()]
    assert kept == []
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(program.data))


def test_the_same_key_gives_the_same_bits(row: Row, program: Compiled, ten: Any) -> None:
    state, metrics = compiled(row).run(seed=0, steps=STEPS)  # traced anew
    assert equal(state, ten[0])
    assert equal(metrics, ten[1])
    other, _ = program.run(seed=1, steps=1)
    assert not equal(other, program.run(seed=0, steps=1)[0])


def test_every_step_draws_anew(program: Compiled) -> None:
    state = program.init(jax.random.key(0), program.data)
    before = arrays([x for x in jax.tree.leaves(state) if is_key(x)])
    state, _ = program.step(state, program.data)
    after = arrays([x for x in jax.tree.leaves(state) if is_key(x)])
    assert before
    assert not any(np.array_equal(x, y) for x, y in zip(before, after, strict=True))


def test_seeds_side_by_side_are_seeds_one_by_one(program: Compiled) -> None:
    states = [program.init(jax.random.key(seed), program.data) for seed in (0, 1)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *states)
    together = jax.jit(jax.vmap(program.algorithm.step, (0, None)))(stacked, program.data)
    for lane, state in enumerate(states):
        alone = program.step(state, program.data)
        for found, expected in zip(arrays(together), arrays(alone), strict=True):
            np.testing.assert_allclose(found[lane], expected, rtol=2e-3, atol=2e-4)


def test_metrics_are_finite_scalars_with_constant_names(ten: Any) -> None:
    _, metrics = ten
    for now in metrics:
        assert sorted(now) == sorted(metrics[0])
        for key, value in now.items():
            assert re.fullmatch(r"(agent|learner|reward|clone|evolution)/[a-z_]+", key), key
            assert value.shape == () and value.dtype == jnp.float32, key
            assert np.isfinite(value), key


def test_the_state_stays_finite(ten: Any) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(ten[0]):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)


@pytest.mark.parametrize("deterministic", [False, True])
def test_the_policy_acts(program: Compiled, ten: Any, deterministic: bool) -> None:
    policy = program.algorithm.policy(ten[0], deterministic=deterministic)
    obs = jnp.tile(jnp.array([0.2, 0.4, 0.0, 0.8, 0.0]), (50, 1))
    act = jax.jit(lambda key: policy.act(policy.params, obs, key, policy.memory(50))[0])
    first, second = (np.asarray(act(jax.random.key(seed))) for seed in (0, 1))
    assert first.shape == (50,) and first.dtype == np.int32
    assert ((first >= 0) & (first < ENV.spec.num_actions)).all()
    # One observation fifty times over: the mode is one action, samples are several.
    assert (len(set(first.tolist())) == 1) == deterministic
    assert np.array_equal(first, second) == deterministic


def test_the_reward_is_a_tree_of_one_form(program: Compiled, ten: Any) -> None:
    start = jax.eval_shape(program.algorithm.init, jax.random.key(0), program.data)
    before = jax.eval_shape(program.algorithm.reward, start)
    after = jax.eval_shape(program.algorithm.reward, ten[0])
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)


def test_environment_steps_are_counted(row: Row, program: Compiled) -> None:
    assert program.algorithm.steps_per_iteration == row.steps_per_iteration


# Configs as files hold them.


def through_json(config: Any) -> Any:
    return configs.from_dict(json.loads(json.dumps(configs.to_dict(config))))


def test_configs_survive_json(row: Row) -> None:
    found = through_json(row.config)
    assert found == row.config
    assert type(found) is type(row.config) and hash(found) == hash(row.config)
    defaults = type(row.config)()
    assert through_json(defaults) == defaults != row.config


def test_configs_name_their_module(row: Row) -> None:
    data = configs.to_dict(row.config)
    assert data["type"] == type(row.config).__module__
    assert set(data) == {"type"} | {f.name for f in dataclasses.fields(row.config)}


def test_whole_numbers_are_numbers() -> None:
    found = configs.from_dict(configs.to_dict(PPO) | {"discount": 1})
    assert found.discount == 1.0 and isinstance(found.discount, float)


def test_absent_fields_have_their_defaults() -> None:
    assert configs.from_dict({"type": "evil.learners.ppo", "clip": 0.5}) == ppo.Config(clip=0.5)


def test_an_unknown_field_is_the_users_error(row: Row) -> None:
    field = dataclasses.fields(row.config)[-1].name
    with pytest.raises(UserError, match=f"did you mean .*{field}"):
        configs.from_dict(configs.to_dict(row.config) | {f"{field}x": 1})


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        (PPO, "num_envs", "many"),
        (PPO, "num_envs", 4.5),
        (PPO, "num_envs", True),
        (PPO, "num_envs", None),
        (PPO, "num_envs", [4]),
        (PPO, "discount", "0.9"),
        (PPO, "discount", True),
        (PPO, "normalise_rewards", 1),
        (PPO, "network", 3),
        (PPO, "network", {"type": "evil.rewards.moment_matching"}),
        (PPO.network, "hidden", 64),
        (PPO.network, "hidden", ["wide"]),
        (PPO.network, "distribution", "gausian"),
        (SAC, "scoring", "later"),
        (SAC, "target_entropy", "low"),
        (ROWS["irl"].config, "history", "some"),
        (ROWS["irl"].config, "learner", {"type": "evil.rewards.moment_matching"}),
        (ROWS["irl"].config, "reward", {"type": "evil.learners.ppo"}),
        (ROWS["airl"].config, "reward", {"type": "evil.rewards.potential"}),
    ],
)
def test_a_wrong_type_is_the_users_error(config: Any, field: str, value: Any) -> None:
    with pytest.raises(UserError, match=field):
        configs.from_dict(configs.to_dict(config) | {field: value})


@pytest.mark.parametrize(
    "module",
    [
        "os",
        "numpy.random",
        "evils.ppo",
        "",
        "evil",
        "evil.errors",
        "evil.nowhere",
        "evil.",
        3,
        None,
    ],
)
def test_a_foreign_module_is_the_users_error(module: Any) -> None:
    with pytest.raises(UserError, match="config"):
        configs.from_dict(configs.to_dict(PPO) | {"type": module})
