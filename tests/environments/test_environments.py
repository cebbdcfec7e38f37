"""The contract every environment keeps, and the names they go by."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import environments
from evil.environments import gymnax
from evil.errors import UserError
from evil.seams import Environment

BATCH = 3
NAMES = (
    "cartpole",
    "pendulum",
    "reacher",
    "gridworld",
    "gridworld50",
    "FrozenLake-misc",
    "FourRooms-misc",
    "Breakout-MinAtar",
    "BernoulliBandit-misc",
    "hopper",
)
GYMNAX = tuple(name for name in NAMES if name not in ("gridworld", "gridworld50", "hopper"))


@dataclasses.dataclass
class World:
    env: Environment
    reset: Callable
    step: Callable
    action: jax.Array


@pytest.fixture(scope="module", params=NAMES)
def world(request):
    """An environment and its compiled, batched functions: each is compiled once."""
    env = environments.make(request.param)
    return World(
        env,
        jax.jit(jax.vmap(env.reset, (0, None))),
        jax.jit(jax.vmap(env.step, (0, 0, 0, None))),
        jnp.broadcast_to(some_action(env.spec), (BATCH, *some_action(env.spec).shape)),
    )


def some_action(spec):
    if spec.is_discrete:
        return jnp.asarray(spec.num_actions - 1, jnp.int32)
    return jnp.asarray(spec.action_high, jnp.float32)


def keys(seed):
    return jax.random.split(jax.random.key(seed), BATCH)


def check_types(env):
    """One step leaves every type as it was, and all of them as the spec says."""
    key = jax.random.key(0)
    state, obs = jax.eval_shape(env.reset, key, env.params)
    successor, step = jax.eval_shape(env.step, key, state, some_action(env.spec), env.params)
    described = [(x.shape, x.dtype, x.weak_type) for x in jax.tree.leaves(state)]
    after = [(x.shape, x.dtype, x.weak_type) for x in jax.tree.leaves(successor)]
    assert described == after, env.spec.name
    assert jax.tree.structure(state) == jax.tree.structure(successor), env.spec.name
    assert not any(weak for _, _, weak in described), env.spec.name
    for value, shape, dtype in (
        (obs, env.spec.obs_shape, jnp.float32),
        (step.next_obs, env.spec.obs_shape, jnp.float32),
        (step.reward, (), jnp.float32),
        (step.terminated, (), jnp.bool_),
        (step.truncated, (), jnp.bool_),
    ):
        assert (value.shape, value.dtype, value.weak_type) == (shape, dtype, False), env.spec.name


def test_types_match_spec_and_survive_a_step(world):
    check_types(world.env)


def test_every_gymnax_id_keeps_its_types():
    names = [name for name in gymnax.registered() if "MNIST" not in name]  # that one downloads
    assert len(names) >= 25
    for name in names:
        env = environments.make(name)
        check_types(env)
        assert type(env.spec.time_limit) is int and env.spec.time_limit > 0, name
        assert all(not leaf.weak_type for leaf in jax.tree.leaves(env.params)), name
        hash(env.spec)  # tuples, not arrays


def test_same_key_same_bits_and_other_key_other_bits(world):
    state, obs = world.reset(keys(0), world.env.params)
    first = world.step(keys(1), state, world.action, world.env.params)
    state, again = world.reset(keys(0), world.env.params)
    second = world.step(keys(1), state, world.action, world.env.params)
    np.testing.assert_array_equal(obs, again)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    if world.env.spec.name in ("cartpole", "pendulum", "reacher", "hopper"):
        assert not np.array_equal(obs, world.reset(keys(2), world.env.params)[1])
        assert not np.array_equal(obs[0], obs[1])  # one key per world


@pytest.mark.parametrize("world", GYMNAX, indirect=True)
def test_time_never_terminates(world):
    """A world that is older than its limit steps like a young one."""
    env = world.env
    young, _ = world.reset(keys(0), env.params)
    old = dataclasses.replace(young, time=young.time + 10 * env.spec.time_limit)
    _, step = world.step(keys(1), young, world.action, env.params)
    _, late = world.step(keys(1), old, world.action, env.params)
    np.testing.assert_array_equal(step.terminated, late.terminated)
    assert not late.terminated.all() and not late.truncated.any()


@pytest.mark.parametrize("name", ["pendulum", "reacher"])
def test_worlds_without_an_end_outlive_their_limit(name):
    env = environments.make(name)
    state, _ = env.reset(jax.random.key(0), env.params)

    def body(state, key):
        state, step = env.step(key, state, some_action(env.spec), env.params)
        return state, (step.terminated | step.truncated, step.next_obs)

    many = jax.random.split(jax.random.key(1), env.spec.time_limit + 5)
    _, (done, obs) = jax.jit(lambda state: jax.lax.scan(body, state, many))(state)
    assert not done.any()
    limit = env.spec.time_limit
    assert not np.array_equal(obs[limit - 1], obs[limit])  # it moves on


def test_names_and_aliases():
    assert environments.canonical("walker") == "walker2d"
    assert environments.canonical("cheetah") == "halfcheetah"
    assert environments.canonical("CartPole-v1") == "cartpole"
    assert environments.canonical("Reacher-misc") == "reacher"
    assert environments.canonical("FourRooms-misc") == "FourRooms-misc"
    for name in environments.names():
        assert environments.canonical(name) == name
    assert len(set(environments.names())) == 10
    assert environments.make("Pendulum-v1").spec == environments.make("pendulum").spec


@pytest.mark.parametrize(
    ("name", "backend", "words"),
    [
        ("hoper", None, ["unknown environment 'hoper'", "hopper"]),
        ("Acrobat-v1", None, ["unknown environment 'Acrobat-v1'", "Acrobot-v1"]),
        ("hopper", "springs", ["unknown backend 'springs'", "spring"]),
        ("cartpole", "spring", ["cartpole", "no physics backends", "'spring'"]),
        ("FourRooms-misc", "mjx", ["FourRooms-misc", "no physics backends"]),
    ],
)
def test_mistaken_names_are_answered(name, backend, words):
    with pytest.raises(UserError) as error:
        environments.make(name, backend)
    assert all(word in str(error.value) for word in words)


def test_import_is_light():
    code = (
        "import sys; from evil import environments; environments.make('gridworld');"
        "environments.canonical('walker');"
        "print([m for m in ('gymnax', 'brax', 'matplotlib', 'flax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
