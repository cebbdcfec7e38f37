"""How fast things are, measured side by side in one process."""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import Any

import jax

from evil import environments, registry
from evil.benchmarks.timing import driven, prepare, race
from evil.demonstrations import catalogue
from evil.environments import episodes
from evil.evaluation.episodes import random_policy
from evil.experiments import shape
from evil.experiments.settings import presets
from evil.experiments.shared import measure
from evil.imitation import irl
from evil.learners import alone, ppo, replay, rollout
from evil.rewards import fixed
from evil.running import progress
from evil.running.runner import Phase, Session, run
from evil.seams import Environment, Key, PyTree


def random_stepping(env: Environment, num_envs: int, num_steps: int) -> tuple[Any, PyTree]:
    """The bare environment under random actions: no time limit, no reset, nothing kept."""
    policy = random_policy(env)

    def advance(state: tuple[PyTree, Key]) -> tuple[PyTree, Key]:
        world, key = state
        key, key_steps = jax.random.split(key)

        def one(carry: PyTree, key: Key) -> tuple[PyTree, None]:
            world, obs = carry
            key_action, key_world = jax.random.split(key)
            action, _ = policy.act((), obs, key_action, ())
            keys = jax.random.split(key_world, num_envs)
            world, step = jax.vmap(env.step, (0, 0, 0, None))(keys, world, action, env.params)
            return (world, step.next_obs), None

        world, _ = jax.lax.scan(one, world, jax.random.split(key_steps, num_steps))
        return world, key

    keys = jax.random.split(jax.random.key(0), num_envs)
    worlds = jax.jit(jax.vmap(env.reset, (0, None)))(keys, env.params)
    return advance, (worlds, jax.random.key(1))


def throughput(env_name: str, turns: int = 7) -> dict[str, Any]:
    """Environment steps per second: bare environment, PPO, IRL++, at the quick preset."""
    config = presets.recovery(env_name, "quick", irl_plus=True)
    env = environments.make(config.env)
    demos, _ = catalogue.demonstrations(env.spec)
    learner_config = config.algorithm.learner
    assert isinstance(learner_config, ppo.Config)
    learner = ppo.make(learner_config, env, fixed.real())
    game = irl.make(config.algorithm, env)
    key = jax.random.key(0)
    contestants = {
        "environment": prepare(
            *random_stepping(env, learner_config.num_envs, learner_config.num_steps)
        ),
        "ppo": prepare(lambda state: learner.step(state, ())[0], jax.jit(learner.init)(key)),
        "irl_plus": prepare(
            lambda state: game.step(state, demos)[0], jax.jit(game.init)(key, demos)
        ),
    }
    seconds = race(contestants, turns)
    steps = dict.fromkeys(contestants, learner.steps_per_iteration)
    steps["irl_plus"] = game.steps_per_iteration  # of its whole population
    speed = {name: steps[name] / x for name, x in seconds.items()}
    return {
        "env": config.env,
        "num_envs": learner_config.num_envs,
        "env_steps_per_s": speed,
        "compile_s": {name: one.compile_s for name, one in contestants.items()},
        "ppo_over_environment": seconds["ppo"] / seconds["environment"],
        "irl_plus_of_ppo": speed["irl_plus"] / speed["ppo"],
    }


def paper(env_name: str = "hopper", turns: int = 3) -> dict[str, Any]:
    """Seconds of one iteration of the published setting, and where they go."""
    config = presets.recovery(env_name, "paper", irl_plus=True, recipe="published")
    env = environments.make(config.env)
    demos, _ = catalogue.demonstrations(env.spec)
    # A history of a few iterations instead of all: the same work, less memory.
    algorithm = dataclasses.replace(
        config.algorithm, capacity=20 * config.algorithm.rows_per_iteration
    )
    game = irl.make(algorithm, env)
    reward = registry.make(algorithm.reward, env)
    started = time.perf_counter()
    state = jax.block_until_ready(
        jax.jit(game.init).lower(jax.random.key(0), demos).compile()(jax.random.key(0), demos)
    )
    init_s = time.perf_counter() - started
    whole = prepare(lambda state: game.step(state, demos)[0], state)
    learner_config = algorithm.learner
    policy = random_policy(env)

    def acting(worlds: episodes.State) -> episodes.State:
        def actor(obs: jax.Array, key: Key, memory: PyTree) -> tuple[Any, Any, PyTree]:
            action, memory = policy.act((), obs, key, memory)
            return action, action, memory

        return rollout.collect(
            env,
            actor,
            jax.random.key(2),
            worlds,
            (),
            env.params,
            learner_config.num_steps,
            num_starts=learner_config.num_starts,
        )[0]

    def judging(carry: tuple[PyTree, replay.Ring]) -> tuple[PyTree, replay.Ring]:
        state, ring = carry
        state, _ = irl.improve_reward(
            jax.random.key(3), reward, state, ring, demos, algorithm.updates_per_iteration
        )
        return state, ring

    contestants = {
        "iteration": whole,
        "rollout": prepare(acting, jax.tree.map(lambda x: x[0], whole.state.learner.episodes)),
        "reward_updates": prepare(judging, (whole.state.reward, whole.state.history)),
    }
    seconds = race(contestants, turns)
    return {
        "env": config.env,
        "init_s": init_s,
        "compile_s": whole.compile_s,
        "seconds_per_iteration": seconds["iteration"],
        "seconds_of": {
            "rollout": seconds["rollout"],
            "reward_updates": seconds["reward_updates"],
            "policy_updates_and_rest": seconds["iteration"]
            - seconds["rollout"]
            - seconds["reward_updates"],
        },
    }


def generation(env_name: str, turns: int = 5) -> dict[str, Any]:
    """Seconds of a generation of EvIL at the quick preset, and of as many plain PPO lanes."""
    config = dataclasses.replace(presets.evolution(env_name, "quick"), real=True)
    study = shape.study(config)
    algorithm, population = config.algorithm, config.algorithm.strategy.population
    key = jax.random.key(0)
    critic = study.critic(run(study.learning(key)).states)
    plain = Phase(
        name="plain",
        algorithm=alone.make(ppo.make(algorithm.learner, study.env, fixed.real())),
        data=(),
        keys=jax.random.split(key, population * algorithm.inner_seeds),
        iterations=algorithm.inner_iterations,
        chunk=algorithm.inner_iterations,
    )
    contestants = {"generation": driven(study.evolving(key, critic)), "plain_lanes": driven(plain)}
    seconds = race(contestants, turns)
    return {
        "env": config.env,
        "population": population,
        "inner_iterations": algorithm.inner_iterations,
        "seconds": seconds,
        "compile_s": {name: one.compile_s for name, one in contestants.items()},
        "generation_over_plain_lanes": seconds["generation"] / seconds["plain_lanes"],
    }


def reliability(env_name: str, num_seeds: int = 5, num_episodes: int = 100) -> dict[str, Any]:
    """PPO on the real reward at the quick budget, seeds side by side, beside the expert."""
    size = presets.size(environments.canonical(env_name), "quick")
    env = environments.make(env_name)
    learner = ppo.make(size.for_iterations(size.iterations), env, fixed.real())
    _, card = catalogue.demonstrations(env.spec)
    outcome = run(
        Phase(
            name="rl",
            algorithm=alone.make(learner),
            data=(),
            keys=jax.random.split(jax.random.key(1), num_seeds),
            iterations=size.iterations,
            chunk=10,
        ),
        Session(progress=progress.choose(stream=sys.stderr)),
    )
    policies = {
        name: measure.stacked_policy(learner.policy, outcome.states, deterministic=mode)
        for name, mode in (("mode", True), ("sampled", False))
    }
    played = measure.returns(env, policies, jax.random.key(2), num_episodes)
    means = {name: returns.mean(axis=1) for name, returns in played.items()}
    return {
        "env": env.spec.name,
        "env_steps": outcome.env_steps,
        "wall_s": outcome.wall_s,
        "expert_return": card["return_mean"],
        "returns": {name: [float(x) for x in found] for name, found in means.items()},
        "worst_of_expert": {
            name: float(found.min() / card["return_mean"]) for name, found in means.items()
        },
        "frozen": [dataclasses.asdict(lane) for lane in outcome.frozen],
    }
