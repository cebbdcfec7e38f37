"""The main study: demonstrations in, a recovered reward out, a policy retrained on it.

    bc        behavioural cloning, the baseline without a reward
    irl       the game between policy and reward
    retrain   fresh policies on the frozen reward, on the real one, and on mere survival

The last three share learner, budget and compiled program, so that a weak learner or a bonus for
survival is not mistaken for the reward's merit.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evil import registry
from evil.demonstrations import Demonstrations, sample, transitions
from evil.errors import at_least
from evil.evaluation import statistics
from evil.experiments import artefacts, measure, retraining
from evil.experiments.problem import Problem, random_return, read_problem
from evil.imitation import bc, history, irl
from evil.running import ahead, lanes, memory
from evil.running.directory import RunDirectory
from evil.running.runner import Outcome, Phase, Session, run
from evil.seams import Algorithm, Key, Policy, PyTree, RewardModel, Score


@dataclasses.dataclass(frozen=True)
class Config:
    """Recovering a reward from demonstrations."""

    env: str = "hopper"
    """Environment: hopper, walker2d, halfcheetah, ant, humanoid, cartpole, pendulum, reacher,
    gridworld, or any Gymnax id."""
    irl_plus: bool = False
    """IRL++ (all past policies, beginners too, and an ensemble) or plain IRL (the current one)."""
    recipe: str = "default"
    """How the reward is recovered: default, or published, as in the reference."""
    preset: str = "auto"
    """Sizes of everything: smoke, quick, paper, or auto: paper on an accelerator, else quick."""
    backend: str | None = None
    """Physics backend of a Brax environment: positional (default), spring, generalized or mjx."""
    seed: int = 1
    """Seed of everything random; seed k+1 is not one of the lanes of seed k."""
    num_seeds: int = 1
    """Independent runs side by side in one compiled program."""
    demos: str | None = None
    """File of demonstrations; default: those shipped for the environment."""
    num_demos: int | None = None
    """How many episodes to use; default: all."""
    subsample: int = 1
    """Use every k-th step of each episode."""
    iterations: int = 300
    """Iterations of the game, and of each retraining."""
    chunk: int = 5
    """Iterations between two updates of the display."""
    bc_iterations: int = 60
    """Validations of behavioural cloning at most."""
    num_retrained: int = 1
    """Fresh policies trained on each recovered reward; 0 leaves out all retraining."""
    baselines: bool = True
    """Whether to train on the real reward and on mere survival, beside the recovered reward."""
    evaluation_episodes: int = 100
    """Full episodes behind each reported return."""
    deterministic: bool = True
    """Whether learned policies are evaluated by their mode rather than by samples."""
    algorithm: irl.Config = irl.Config()
    """The game."""
    bc: bc.Config = bc.Config()
    """The baseline."""


def study(config: Config) -> Callable[[Session], dict[str, Any]]:
    """Read and check everything that the study needs; what is returned then carries it out."""
    at_least(
        1,
        num_seeds=config.num_seeds,
        iterations=config.iterations,
        bc_iterations=config.bc_iterations,
        chunk=config.chunk,
        evaluation_episodes=config.evaluation_episodes,
    )
    at_least(0, num_retrained=config.num_retrained)
    problem = read_problem(config)
    cloning, game = bc.make(config.bc, problem.env), irl.make(config.algorithm, problem.env)
    return functools.partial(_carry_out, config, problem, cloning, game)


def _carry_out(
    config: Config, problem: Problem, cloning: Algorithm, game: Algorithm, session: Session
) -> dict[str, Any]:
    """Go through all phases, measure, and fill the run directory; returns the summary."""
    key_bc, key_irl, key_again, key_measure = jax.random.split(jax.random.key(config.seed), 4)

    def imitating(name: str, algorithm: Algorithm, key: Key, iterations: int) -> Phase:
        return Phase(
            name=name,
            algorithm=algorithm,
            data=problem.demos,
            keys=jax.random.split(key, config.num_seeds),
            iterations=iterations,
            chunk=config.chunk,
        )

    def retrained(reward_params: PyTree) -> retraining.Retraining:
        return retraining.make(
            config.algorithm.learner,
            model,
            problem.env,
            reward_params,
            key_again,
            per_reward=config.num_retrained,
            iterations=config.iterations,
            chunk=config.chunk,
            baselines=config.baselines,
        )

    model: RewardModel = registry.make(config.algorithm.reward, problem.env)
    playing = imitating("irl", game, key_irl, config.iterations)
    cloned = run(imitating("bc", cloning, key_bc, config.bc_iterations), session)
    compiled = _compile_retraining(game, playing, retrained) if config.num_retrained else None
    played_out = run(playing, session)
    outcomes = {"bc": cloned, "irl": played_out}
    mode = config.deterministic
    policies = {
        # A clone's deviation is mostly its own error: it is judged, generously, by its mode.
        "bc": measure.stacked_policy(cloning.policy, cloned.states, deterministic=True),
        "irl": measure.stacked_policy(game.policy, played_out.states, deterministic=mode),
    }
    reward_params = jax.vmap(game.reward)(played_out.states)
    if compiled is not None:
        compiled()
        again = retrained(reward_params)
        outcomes["retrain"] = run(again.phase, session)
        policies |= again.policies(outcomes["retrain"], deterministic=mode)
    session.progress.note(f"playing {config.evaluation_episodes} full episodes with each policy")
    played = measure.judged(
        problem.env,
        _sharing_act(policies, config),
        key_measure,
        config.evaluation_episodes,
        model.score,
        {name: measure.reward_of_each(policy, reward_params) for name, policy in policies.items()},
    )
    summary = summarise(config, problem, outcomes, played, key_measure)
    expert = _expert_under(model.score, problem.demos, reward_params)
    summary["under_recovered_reward"] = {"expert": measure.summarise(expert)} | {
        name: measure.summarise(one.recovered) for name, one in played.items()
    }
    if session.directory is not None:
        summary |= write(session.directory, config, problem, outcomes, policies, reward_params)
        session.directory.write_summary(summary)
    return summary


def _compile_retraining(
    game: Algorithm, playing: Phase, retrained: Callable[[PyTree], retraining.Retraining]
) -> Callable[[], None]:
    """Begin to compile the retraining, of which the game's rewards have only the shapes yet."""
    shapes = jax.eval_shape(jax.vmap(game.reward), lanes.abstract_states(playing))
    placeholder = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return ahead.compile_ahead(retrained(placeholder).phase)


def summarise(
    config: Config,
    problem: Problem,
    outcomes: dict[str, Outcome],
    played: dict[str, measure.Judged],
    key: Key,
) -> dict[str, Any]:
    """What a run has to say for itself, by the contract of the run directory."""
    game = outcomes["irl"]
    named = {f"{name}_return": measure.summarise(one.true) for name, one in played.items()}
    return {
        "env": problem.env.spec.name,
        "backend": problem.env.spec.backend,
        "algorithm": "irl_plus" if config.irl_plus else "irl",
        "preset": config.preset,
        "seed": config.seed,
        "seeds": config.num_seeds,
        "expert_return": problem.expert_return,
        "random_return": random_return(problem, key, config.evaluation_episodes),
        "demonstrations": int(problem.demos.length.shape[0]),
        "env_steps": game.env_steps,
        "wall_s": sum(outcome.wall_s for outcome in outcomes.values()),
        "compile_s": sum(outcome.compile_s for outcome in outcomes.values()),
        "env_steps_per_s": game.env_steps_per_s,
        "peak_memory_mb": memory.peak_memory_mb(),
        "final_return": named.pop("irl_return"),
        **named,
        "phases": {
            name: {
                "wall_s": outcome.wall_s,
                "compile_s": outcome.compile_s,
                "env_steps_per_s": outcome.env_steps_per_s,
                "frozen": [dataclasses.asdict(lane) for lane in outcome.frozen],
            }
            for name, outcome in outcomes.items()
        },
    }


def write(
    directory: RunDirectory,
    config: Config,
    problem: Problem,
    outcomes: dict[str, Outcome],
    policies: dict[str, Policy],
    reward_params: PyTree,
) -> dict[str, Any]:
    """Policies and rewards of every seed, and the landmark data; returns what they show."""
    spec, network = problem.env.spec, config.algorithm.learner.network
    for name, policy in policies.items():
        kind = config.bc.network if name == "bc" else network
        actions = "mode" if name == "bc" or config.deterministic else "sampled"
        for lane in range(jax.tree.leaves(policy.params)[0].shape[0]):
            single = measure.unstack(policy, lane)
            path = directory.policy / f"{name}-{lane}"
            artefacts.save_policy(path, single, kind, spec, actions=actions)
    for lane in range(config.num_seeds):
        single = jax.tree.map(lambda x, lane=lane: x[lane], reward_params)
        artefacts.save_reward(
            directory.reward / f"reward-{lane}", single, config.algorithm.reward, spec
        )
    if spec.landmark is None:
        return {}
    arrays = landmark(config, problem, outcomes["irl"].states, reward_params)
    np.savez_compressed(directory.path / "landmark.npz", **arrays)
    correlation = statistics.correlation(arrays["expert_x"], arrays["expert_reward"])
    together = statistics.correlation(
        np.concatenate([arrays["expert_x"], arrays["agent_x"]]),
        np.concatenate([arrays["expert_reward"], arrays["agent_reward"]]),
    )
    return {"landmark_correlation": {"expert": correlation, "together": together}}


def landmark(
    config: Config, problem: Problem, states: PyTree, reward_params: PyTree, num: int = 4096
) -> dict[str, Any]:
    """The recovered reward beside the observation that the task is about, for the first seed.

    Of the expert's steps and of those in the agent's history: of all its policies in IRL++, of
    the last one in plain IRL.
    """
    spec, demos = problem.env.spec, problem.demos
    assert spec.landmark is not None
    index, label = spec.landmark
    model: RewardModel = registry.make(config.algorithm.reward, problem.env)
    first = jax.tree.map(lambda x: x[0], (states.history, reward_params))
    ring, params = first
    key_expert, key_agent = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 1))
    arrays: dict[str, Any] = {"label": np.array(label)}
    for who, steps in (
        ("expert", sample(key_expert, demos, num)),
        ("agent", history.sample(key_agent, ring, num)),
    ):
        rewards, _ = model.score.apply(params, model.score.memory(num), steps)
        arrays[f"{who}_x"] = np.asarray(steps.obs[:, index])
        arrays[f"{who}_reward"] = np.asarray(rewards)
    return arrays


def _sharing_act(policies: dict[str, Policy], config: Config) -> dict[str, Policy]:
    """Policies of equal networks play in one compiled program: give them one `act`.

    The clone plays its mode, which for a gaussian is what it samples without deviation.
    """
    found = dict(policies)
    weights = policies["bc"].params["network"]["params"]
    if config.bc.network == config.algorithm.learner.network and "log_std" in weights:
        still = {"params": weights | {"log_std": jnp.full_like(weights["log_std"], -30.0)}}
        found["bc"] = dataclasses.replace(
            policies["irl"], params=policies["bc"].params | {"network": still}
        )
    for name in set(policies) - {"bc"}:
        found[name] = dataclasses.replace(policies["irl"], params=policies[name].params)
    return found


def _expert_under(score: Score, demos: Demonstrations, reward_params: PyTree) -> np.ndarray:
    """Returns `[S, E]` of the demonstrated episodes under each recovered reward."""
    count, steps = demos.action.shape[:2]
    rows = transitions(demos, jnp.arange(count * steps).reshape(count, steps).T)  # [T, E]
    happened = jnp.arange(steps)[:, None] < demos.length[None]

    def judge(params: PyTree) -> jax.Array:
        rewards, _ = score.apply(params, score.memory(count), rows)
        return jnp.sum(rewards, axis=0, where=happened)

    return np.asarray(jax.jit(jax.vmap(judge))(reward_params))
