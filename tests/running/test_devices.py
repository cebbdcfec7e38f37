"""Lanes spread over devices: the same numbers, and every device at work."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import parallel
from evil.demonstrations import from_episodes
from evil.imitation import irl
from evil.learners import alone, ppo
from evil.networks import actor_critic
from evil.rewards import ensemble, fixed, moment_matching
from evil.running import lanes, mesh
from evil.running.runner import Phase, Session, run
from evil.seams import Algorithm
from tests.learners.probes import environment


@pytest.fixture
def one_device(monkeypatch):
    monkeypatch.setattr(lanes.jax, "local_devices", lambda: jax.devices()[:1])


def states_of(phase):
    states = run(phase, Session()).states
    return jax.tree.map(
        lambda x: (
            jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        ),
        states,
    )


def test_there_are_two_devices_to_test_with():
    assert len(jax.local_devices()) == 2


@pytest.mark.parametrize("count", [4, 3])
def test_lanes_do_not_depend_on_the_number_of_devices(count, tiny, request):
    never = {"broken_metric": (10**6,) * count, "broken_state": (10**6,) * count}
    phase = tiny.phase(keys=jax.random.split(jax.random.key(7), count), iterations=7, **never)
    spread = states_of(phase)
    used = {shard.device for shard in jax.tree.leaves(spread)[0].addressable_shards}
    request.getfixturevalue("one_device")
    together = states_of(phase)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), spread, together)
    assert len(used) == 2


# A lane whose work is shared.


def grow(member, rate):
    key, key_noise = jax.random.split(member["key"])
    x = member["x"] * rate + jax.random.normal(key_noise, member["x"].shape)
    return {"key": key, "x": x, "is_large": jnp.linalg.norm(x) > 3.0}


def team(size):
    """An algorithm whose state is a team of members, and whose every step also mixes them."""
    everybody = parallel.shared_vmap(grow, (0, None), "members")

    def init(key, data):
        keys = jax.random.split(key, size)
        return {"key": keys, "x": jnp.ones((size, 3)), "is_large": jnp.zeros(size, bool)}

    def step(state, data):
        state = everybody(state, data)
        state |= {"x": 0.5 * state["x"] + 0.5 * state["x"].mean(axis=0, keepdims=True)}
        return state, {"team/spread": state["x"].std()}

    return Algorithm(
        init, step, lambda state: state, lambda state: (), 0, parts=parallel.Parts(members=size)
    )


@pytest.mark.parametrize(("lanes", "size"), [(1, 2), (1, 4), (2, 2), (1, 3)])
def test_members_do_not_depend_on_the_number_of_devices(lanes, size, request):
    phase = Phase(
        name="team",
        algorithm=team(size),
        data=jnp.float32(0.9),
        keys=jax.random.split(jax.random.key(1), lanes),
        iterations=11,
        chunk=4,
    )
    shared = states_of(phase)
    used = {shard.device for shard in jax.tree.leaves(shared)[0].addressable_shards}
    request.getfixturevalue("one_device")
    alone = states_of(phase)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), shared, alone)
    assert len(used) == 2  # of three members, one device does the last one again


def test_a_game_does_not_depend_on_the_number_of_devices(request):
    env = environment("continuous")
    obs = np.random.default_rng(0).normal(size=(6, *env.spec.obs_shape))
    episode = {"obs": obs, "action": np.zeros((5, env.spec.action_size))}
    game = irl.Config(
        learner=ppo.Config(
            num_envs=2, num_steps=4, num_epochs=1, num_minibatches=1, num_starts=2,
            network=actor_critic.Config(hidden=(8,)),
        ),
        reward=ensemble.Config(
            member=moment_matching.Config(hidden=(8,), batch_size=16, input_noise=1.0), size=3
        ),
        updates_per_iteration=3, rows_per_iteration=8, capacity=32, population=2, rejuvenation=3,
    )  # fmt: skip
    phase = Phase(
        name="irl",
        algorithm=irl.make(game, env),
        data=from_episodes([episode] * 2),
        keys=jax.random.split(jax.random.key(1), 1),
        iterations=5,
        chunk=2,
    )
    shared = states_of(phase)
    request.getfixturevalue("one_device")
    alone_ = states_of(phase)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), shared, alone_
    )


# A member whose worlds are shared.


def test_worlds_do_not_depend_on_the_number_of_devices(request):
    config = ppo.Config(
        num_envs=6, num_steps=8, num_epochs=1, num_minibatches=2, num_starts=4,
        network=actor_critic.Config(hidden=(8,)),
    )  # fmt: skip
    env = environment("continuous")
    assert ppo.make(config, env, fixed.real()).parts == parallel.Parts()
    env = dataclasses.replace(env, spec=dataclasses.replace(env.spec, backend="tables"))
    learner = ppo.make(config, env, fixed.real())
    phase = Phase(
        name="rl",
        algorithm=alone.make(learner),
        data=(),
        keys=jax.random.split(jax.random.key(1), 1),
        iterations=5,
        chunk=2,
    )
    assert phase.algorithm.parts == parallel.Parts(worlds=6)
    shared = states_of(phase)
    used = {shard.device for shard in jax.tree.leaves(shared)[0].addressable_shards}
    request.getfixturevalue("one_device")
    alone_ = states_of(phase)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), shared, alone_)
    assert len(used) == 2


@pytest.mark.parametrize(
    ("lanes", "members", "worlds", "devices", "expected"),
    [
        (1, 1, 1, 8, (1, 1, 1)),
        (8, 4, 64, 8, (8, 1, 1)),
        (1, 2, 64, 8, (1, 2, 4)),
        (3, 2, 64, 8, (3, 2, 1)),
        (3, 1, 64, 8, (3, 1, 2)),
        (2, 1, 3, 8, (2, 1, 3)),
    ],
)
def test_idle_devices_go_to_members_and_then_to_worlds(lanes, members, worlds, devices, expected):
    parts = parallel.Parts(members, worlds)
    assert mesh.division(lanes, parts, devices) == expected


@pytest.mark.parametrize(
    ("lanes", "members", "worlds", "devices", "processes", "expected"),
    [
        (1, 1, 64, 2, 2, (2, 1, 1)),  # the lane is repeated rather than its worlds torn apart
        (1, 2, 64, 4, 2, (1, 2, 2)),
        (1, 3, 64, 8, 2, (1, 2, 4)),
        (3, 1, 64, 8, 2, (4, 1, 2)),
        (16, 4, 64, 8, 2, (8, 1, 1)),
    ],
)
def test_several_processes_use_all_their_devices(
    lanes, members, worlds, devices, processes, expected
):
    assert mesh.division(lanes, parallel.Parts(members, worlds), devices, processes) == expected


def test_without_a_group_sharing_is_a_vmap():
    state = {"key": jax.random.split(jax.random.key(0), 2), "x": jnp.ones((2, 3))}
    found = parallel.shared_vmap(grow, (0, None), "members")(state, 0.5)
    expected = jax.vmap(grow, (0, None))(state, 0.5)
    np.testing.assert_array_equal(found["x"], expected["x"])
    assert parallel.group_size("members") == 1
