"""DAgger as a study of its own, beside online cloning with as many labels.

Both are lanes of one compiled program: they differ only in who acts while the expert labels.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evil import atomic, distributions, environments
from evil.demonstrations import Demonstrations, actions_for
from evil.errors import UserError, at_least
from evil.evaluation import rendering
from evil.experiments.shared import artefacts, films, measure, snapshots, teacher
from evil.experiments.shared.problem import read_problem
from evil.imitation import dagger
from evil.rewards import fixed
from evil.running import ahead, lanes, memory
from evil.running.directory import RunDirectory
from evil.running.runner import Outcome, Phase, Session, run
from evil.seams import Algorithm, Environment, Key, Policy, PyTree

NAMES = ("dagger", "online_bc")
REAL = fixed.real()


@dataclasses.dataclass(frozen=True)
class Config:
    """Imitating an expert that can be asked at any time."""

    env: str = "hopper"
    """Environment: hopper, walker2d, halfcheetah, ant, humanoid, cartpole, pendulum, reacher,
    gridworld, or any Gymnax id."""
    preset: str = "auto"
    """Sizes of everything: smoke, quick, paper, or auto: paper on an accelerator, else quick."""
    backend: str | None = None
    """Physics backend of a Brax environment: positional (default), spring, generalized or mjx."""
    seed: int = 1
    """Seed of everything random; seed k+1 is not one of the lanes of seed k."""
    num_seeds: int = 1
    """Independent runs side by side in one compiled program."""
    expert: str | None = None
    """Policy file, or folder with one, of the expert; default: the one shipped."""
    demos: str | None = None
    """File of demonstrations for a warm start; default: those shipped for the environment."""
    num_demos: int | None = None
    """How many episodes to use; default: all."""
    subsample: int = 1
    """Use every k-th step of each episode, and besides the one in which it terminated."""
    control: bool = True
    """Whether as many seeds clone online, where the expert always acts."""
    deterministic: bool = False
    """Whether the expert acts and labels by its mode, and evaluated policies play theirs."""
    evaluation_episodes: int = 100
    """Full episodes behind each reported return."""
    film_rounds: tuple[int, ...] = ()
    """Numbers of rounds after which the policies are kept as files, and the first seed's filmed."""
    chunk: int = 1
    """Rounds between two updates of the display."""
    dagger: dagger.Config = dagger.Config()
    """Network, loss, mixture and rounds."""

    @property
    def plays_the_mode(self) -> bool:
        """Squared errors teach no deviation, so such a policy has nothing to sample with."""
        return self.deterministic or self.dagger.loss == "mse"

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Names of the methods and their numbers of lanes."""
        return tuple((name, self.num_seeds) for name in NAMES[: 1 + self.control])


def study(config: Config) -> Callable[[Session], dict[str, Any]]:
    """Read and check everything that the study needs; what is returned then carries it out."""
    at_least(
        1,
        num_seeds=config.num_seeds,
        chunk=config.chunk,
        evaluation_episodes=config.evaluation_episodes,
    )
    env = environments.make(config.env, config.backend)
    if config.film_rounds:
        rendering.check(env.spec)
        if not 0 <= min(config.film_rounds) <= max(config.film_rounds) <= config.dagger.rounds:
            raise UserError(
                f"film_rounds must lie between 0 and {config.dagger.rounds}, "
                f"found {config.film_rounds}"
            )
    expert = teacher.read(env, config.expert, deterministic=config.deterministic)
    ours = distributions.resolve(config.dagger.network.distribution, env.spec)
    if config.dagger.loss == "kl" and expert.distribution != ours:
        raise UserError(
            f"kl compares distributions alike, but the expert's is {expert.distribution} and the "
            f"learner's {ours}: set --dagger.network.distribution, or use nll."
        )
    warm = config.dagger.warm_start == "bc"
    demos = read_problem(config).demos if warm else None
    if demos is not None:
        actions_for(demos, "a warm start")
    learning = dagger.make(config.dagger, env, expert.policy, expert.outputs)
    algorithm = snapshots.make(learning, config.film_rounds)
    return functools.partial(_carry_out, config, expert, demos, algorithm)


def _carry_out(
    config: Config,
    expert: teacher.Teacher,
    demos: Demonstrations | None,
    algorithm: Algorithm,
    session: Session,
) -> dict[str, Any]:
    """Learn, measure, and fill the run directory; returns the summary."""
    key_measure, key_film, key_learn = jax.random.split(jax.random.key(config.seed), 3)
    methods = len(config.groups)
    phase = Phase(
        name="dagger",
        algorithm=algorithm,
        data=dagger.Data(
            expert=expert.policy.params,
            expert_acts=jnp.arange(methods * config.num_seeds) >= config.num_seeds,
            demos=demos,
        ),
        data_axes=dagger.Data(expert=None, expert_acts=0),  # pyright: ignore[reportArgumentType]
        # A seed begins alike with either method.
        keys=jnp.tile(jax.random.split(key_learn, config.num_seeds), methods),
        iterations=config.dagger.rounds,
        chunk=config.chunk,
        groups=config.groups,
    )

    policies_of = functools.partial(
        measure.stacked_policy, algorithm.policy, deterministic=config.plays_the_mode
    )

    def judging(policies: Policy) -> tuple[Any, ...]:
        """What `measure` needs to know in order to play all policies in one program."""
        count = config.evaluation_episodes
        return expert.env, {"all": policies}, key_measure, count, REAL, {"all": ()}

    begin, programs = ahead.prepare(
        lambda: measure.compile_judged(*judging(jax.eval_shape(policies_of, phase.states)))
    )
    outcome = run(phase, session, functools.partial(lanes.compile_phase, phase, traced=begin))
    policies = policies_of(outcome.states)
    session.progress.note(f"playing {config.evaluation_episodes} full episodes with each policy")
    played = measure.judged(*judging(policies), programs=programs())["all"].true
    known = teacher.references(expert, key_measure, config.evaluation_episodes)
    summary = summarise(config, expert.env, outcome, played, known)
    if demos is not None:
        summary |= {"demonstrated_steps": int(demos.count)}
    if session.directory is not None:
        write(session.directory, config, expert.env, policies)
        write_kept(session.directory, config, expert.env, policies, outcome.states.kept, key_film)
        session.directory.write_summary(summary)
    return summary


def by_method(config: Config, lanes: Any) -> dict[str, Any]:
    """What belongs to the lanes of each method, `[methods · seeds, ...]` in."""
    return {
        name: lanes[index * config.num_seeds : (index + 1) * config.num_seeds]
        for index, (name, _) in enumerate(config.groups)
    }


def summarise(
    config: Config,
    env: Environment,
    outcome: Outcome,
    played: np.ndarray,
    known: dict[str, float],
) -> dict[str, Any]:
    """What a run has to say for itself, by the contract of the run directory."""
    returns = by_method(config, played)
    labels = by_method(config, np.asarray(outcome.states.inner.aggregate.count))
    found = {f"{name}_return": measure.summarise(one) for name, one in returns.items()}
    return {
        "env": env.spec.name,
        "backend": env.spec.backend,
        "algorithm": "dagger",
        "loss": config.dagger.loss,
        "preset": config.preset,
        "seed": config.seed,
        "seeds": config.num_seeds,
        "rounds": outcome.iterations,
        "labels": {name: [int(x) for x in counts] for name, counts in labels.items()},
        **known,
        "env_steps": outcome.env_steps,
        "wall_s": outcome.wall_s,
        "compile_s": outcome.compile_s,
        "env_steps_per_s": outcome.env_steps_per_s,
        "peak_memory_mb": memory.peak_memory_mb(),
        "final_return": found.pop("dagger_return"),
        **found,
        "actions": "mode" if config.plays_the_mode else "sampled",
        "last_metrics": {name: list(map(float, x)) for name, x in outcome.last_metrics.items()},
        "frozen": [dataclasses.asdict(lane) for lane in outcome.frozen],
    }


def write(directory: RunDirectory, config: Config, env: Environment, policies: Policy) -> None:
    """The policy of every method and seed."""
    for name, lanes_of in by_method(
        config, np.arange(len(config.groups) * config.num_seeds)
    ).items():
        for seed, lane in enumerate(lanes_of):
            save(directory, config, env, f"{name}-{seed}", measure.unstack(policies, int(lane)))


def write_kept(
    directory: RunDirectory,
    config: Config,
    env: Environment,
    policies: Policy,
    kept: PyTree,
    key: Key,
) -> None:
    """The policies after the chosen rounds `[lanes, K, ...]`, and a film of the first lane's."""
    for seed in range(config.num_seeds):
        for index, number in enumerate(config.film_rounds):
            params = jax.tree.map(lambda x: x[seed, index], kept)  # noqa: B023
            policy = dataclasses.replace(policies, params=params)
            save(directory, config, env, f"round{number:02d}-{seed}", policy)
    if not config.film_rounds:
        return
    first = dataclasses.replace(policies, params=jax.tree.map(lambda x: x[0], kept))
    titles = [f"{env.spec.name}: DAgger, {number} rounds" for number in config.film_rounds]
    for number, film in zip(
        config.film_rounds, films.of_each(env, first, key, titles), strict=True
    ):
        path = directory.figures / f"round{number:02d}.gif"
        path.parent.mkdir(exist_ok=True)
        atomic.write(path, films.encode(film, path.suffix))


def save(
    directory: RunDirectory, config: Config, env: Environment, name: str, policy: Policy
) -> None:
    """One policy's file, which says so if it must not sample."""
    artefacts.save_policy(
        directory.policy / name,
        policy,
        config.dagger.network,
        env.spec,
        actions="mode" if config.plays_the_mode else "sampled",
    )
