"""What an update of SAC costs, beside the matrix products that it cannot do without."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import partial_eval

from evil import environments
from evil.benchmarks import roofline
from evil.benchmarks.timing import prepare, race
from evil.experiments.settings import sizes_sac
from evil.learners import sac, soft
from evil.networks import actor_critic
from evil.networks.critics import Critics
from evil.rewards import fixed
from evil.seams import Environment, PyTree


def costs(env_name: str) -> dict[str, Any]:
    """Of an update, of lanes side by side, and of a replay of a million rows."""
    return {
        "update": update_cost(env_name),
        "lanes": lanes(),
        "replay": large_replay(env_name),
    }


def products(jaxpr: Any) -> list[Any]:
    """The equations of a program that are matrix products, those of its loops once."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            found.append(equation)
        for part in roofline.parts(equation):
            found += products(part)
    return found


def update_cost(env_name: str = "hopper", turns: int = 15, repeats: int = 16) -> dict[str, Any]:
    """Seconds of one update (batch 256, networks 256 x 256), and of its bare matrix products."""
    env, config = environments.make(env_name), sac.Config()
    networks = _networks(config, env)
    weights = networks.init(jax.random.key(0), config.temperature)
    batches = _batches(env, repeats, config.batch_size)
    hyper = {
        "rate": jnp.float32(3e-4),
        "discount": jnp.float32(0.99),
        "retention": jnp.float32(0.995),
        "target_entropy": jnp.float32(soft.target_entropy(env.spec, config.target_entropy)),
    }

    def update(weights: soft.Weights, batch: soft.Batch, key: Any) -> soft.Weights:
        return soft.update(weights, batch, key, networks, **hyper)[0]

    def updates(state: PyTree) -> PyTree:
        weights, batches, key = state
        key, key_now = jax.random.split(key)
        weights, _ = jax.lax.scan(
            lambda weights, inputs: (update(weights, *inputs), None),
            weights,
            (batches, jax.random.split(key_now, repeats)),
        )
        return weights, batches, key

    one = jax.tree.map(lambda x: x[0], batches)
    found = needed(update, weights, one, jax.random.key(0))
    key = jax.random.key(1)
    shapes = [tuple(v.aval for v in product.invars) for product in found]
    operands = [[jax.random.normal(key, aval.shape) for aval in pair] for pair in shapes]

    def once(carry: PyTree, nothing: None) -> tuple[PyTree, None]:
        # The barrier ties the operands to the last results, so that nothing is done once for all.
        operands, _ = jax.lax.optimization_barrier(carry)
        pairs = zip(found, operands, strict=True)
        return (operands, [e.primitive.bind(*pair, **e.params) for e, pair in pairs]), None

    def bare(state: PyTree) -> PyTree:
        return jax.lax.scan(once, state, length=repeats)[0]

    first = [jnp.zeros(product.outvars[0].aval.shape) for product in found]
    contestants = {
        "updates": prepare(updates, (weights, batches, key)),
        "products": prepare(bare, (operands, first)),
    }
    seconds = race(contestants, turns)
    return {
        "env": env.spec.name,
        "seconds_per_update": seconds["updates"] / repeats,
        "seconds_of_its_products": seconds["products"] / repeats,
        "num_products": len(found),
        "update_over_products": seconds["updates"] / seconds["products"],
    }


def lanes(env_name: str = "pendulum", seeds: int = 4, turns: int = 5) -> dict[str, Any]:
    """Seconds of an iteration of several seeds in one `vmap`, and of the same one by one."""
    learner = sac.make(sizes_sac.size(env_name).learner, environments.make(env_name), fixed.real())
    states = jax.jit(jax.vmap(learner.init))(jax.random.split(jax.random.key(0), seeds))

    def step(state: PyTree) -> PyTree:
        return learner.step(state, ())[0]

    contestants = {
        "together": prepare(jax.vmap(step), states),
        "one_by_one": prepare(lambda states: jax.lax.map(step, states), states),
    }
    seconds = race(contestants, turns)
    return {
        "env": env_name,
        "seeds": seeds,
        "seconds_per_iteration": seconds,
        "together_over_one_by_one": seconds["together"] / seconds["one_by_one"],
    }


def large_replay(env_name: str = "hopper", rows: int = 1_000_000, turns: int = 5) -> dict[str, Any]:
    """What a replay of so many rows takes: memory beside its arrays, time beside a small one."""
    env = environments.make(env_name)
    config = dataclasses.replace(sac.Config(), num_envs=8, num_steps=2, update_ratio=1 / 16)
    learners = {
        name: sac.make(dataclasses.replace(config, capacity=count), env, fixed.real())
        for name, count in (("large", rows), ("small", 1000))
    }
    state = jax.eval_shape(learners["large"].init, jax.random.key(0))
    raw = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state.store.ring.rows))
    step = jax.jit(learners["large"].step, donate_argnums=0)
    used: Any = step.lower(state, ()).compile().memory_analysis()
    total = used.argument_size_in_bytes + used.output_size_in_bytes + used.temp_size_in_bytes
    contestants = {
        name: prepare(repeated(learner.step), jax.jit(learner.init)(jax.random.key(0)))
        for name, learner in learners.items()
    }
    seconds = race(contestants, turns)
    return {
        "env": env.spec.name,
        "rows": rows,
        "megabytes_of_its_arrays": raw / 2**20,
        "memory_over_arrays": (total - used.alias_size_in_bytes) / raw,
        "seconds_of_50_iterations": seconds,
    }


def repeated(step: Callable[..., Any], count: int = 50) -> Callable[[PyTree], PyTree]:
    """So many iterations in a scan: the copy of a replay at its start does not count for much."""

    def run(state: PyTree) -> PyTree:
        return jax.lax.scan(lambda s, _: (step(s, ())[0], None), state, length=count)[0]

    return run


def needed(function: Any, *arguments: Any) -> list[Any]:
    """The matrix products on which what a function returns depends."""
    closed = jax.make_jaxpr(function)(*arguments)
    live, _ = partial_eval.dce_jaxpr(
        closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True
    )
    return products(live)


def _networks(config: sac.Config, env: Environment) -> soft.Networks:
    module = actor_critic.make(config.network, env.spec)
    return soft.Networks(module, Critics(env.spec, module.hidden, module.activation))


def _batches(env: Environment, count: int, size: int) -> soft.Batch:
    spec, key = env.spec, jax.random.key(2)
    shape = (count, size)
    obs = jax.random.normal(key, (*shape, *spec.obs_shape))
    if spec.is_discrete:
        action = jax.random.randint(key, shape, 0, spec.num_actions or 1)
    else:
        action = jax.random.uniform(key, (*shape, spec.action_size), minval=-0.5, maxval=0.5)
    return soft.Batch(
        obs=obs,
        action=action,
        next_obs=obs + 0.1,
        terminated=jnp.zeros(shape, bool),
        reward=jnp.ones(shape),
    )
