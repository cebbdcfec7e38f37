"""The shaping study: evolve a potential on a reward, and see whether learners become faster.

    guide     one learner on the reward: its critic is a potential too, and says how observations
              are scaled
    evolve    generations of learners under a population of potentials
    fresh     learners on fresh seeds: without shaping, with the evolved mean, with that critic,
              with the shipped expert's
    bc        behavioural cloning, the baseline without a reward, where demonstrations are shipped

The fresh learners share learner, budget, random numbers and compiled program. Areas under their
curves are time-averages of true returns.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from evil import environments, registry
from evil.demonstrations import Demonstrations, catalogue
from evil.environments import factors
from evil.errors import UserError, at_least, unknown
from evil.experiments.shared import artefacts, comparison, critics, landscape, measure, retrained
from evil.imitation import bc
from evil.learners import alone
from evil.rewards import fixed, potential
from evil.running import memory
from evil.running.directory import RunDirectory
from evil.running.runner import Outcome, Phase, Session, run
from evil.seams import Algorithm, Environment, Key, Learner, PyTree, Score
from evil.shaping import evil


@dataclasses.dataclass(frozen=True)
class Config:
    """Evolving a shaping term."""

    env: str = "cartpole"
    """Environment, as for run_irl.py."""
    backend: str | None = None
    """Physics backend of a Brax environment."""
    preset: str = "auto"
    """Sizes of everything: smoke, quick, paper, or auto."""
    seed: int = 1
    """Seed of everything random."""
    num_seeds: int = 1
    """Independent evolutions, side by side in one compiled program."""
    real: bool = False
    """Shape the real reward."""
    reward_filename: str | None = None
    """Shape a recovered one: a finished run of run_irl.py, or one of its reward files."""
    generations: int = 30
    """Generations of the evolution."""
    init: Literal["zero", "critic"] = "zero"
    """Where the potential begins: at zero, or as the critic of a learner on the reward."""
    robust: bool = False
    """Average fitness over worlds of other gravity, friction, masses and motors, one for each of
    `algorithm.inner_seeds`."""
    num_fresh: int = 10
    """Fresh learners of each kind."""
    chunk: int = 1
    """Generations between two updates of the display."""
    bc_iterations: int = 60
    """Validations of behavioural cloning at most."""
    evaluation_episodes: int = 100
    """Full episodes behind each reported return."""
    algorithm: evil.Config = evil.Config()
    """The evolution."""
    bc: bc.Config = bc.Config()
    """The baseline, where demonstrations are shipped."""


@dataclasses.dataclass(frozen=True)
class Study:
    """A shaping study that is ready to begin."""

    config: Config
    env: Environment
    score: Score
    reward_params: PyTree
    algorithm: Algorithm
    demos: Demonstrations | None  # those shipped for the environment
    worlds: PyTree  # [inner seeds, ...] of a robust evolution, else None

    def __call__(self, session: Session) -> dict[str, Any]:
        """Go through all phases, measure, and fill the run directory; returns the summary."""
        config = self.config
        key_critic, key_evolve, key_fresh, key_judge, key_bc = jax.random.split(
            jax.random.key(config.seed), 5
        )
        outcomes = {"guide": run(self.learning(key_critic), session)}
        critic = self.critic(outcomes["guide"].states)
        outcomes["evolve"] = run(self.evolving(key_evolve, critic), session)
        evolved = self.evolved(outcomes["evolve"].states, critic)
        phase = self.fresh(key_fresh, critic, evolved)
        outcomes["fresh"] = run(phase, session)

        session.progress.note(f"playing {config.evaluation_episodes} full episodes each")
        make = phase.algorithm.policy
        policies = {"fresh": measure.stacked_policy(make, outcomes["fresh"].states)}
        if self.demos is not None:
            cloning = bc.make(config.bc, self.env)
            outcomes["bc"] = run(self.cloning(key_bc, cloning), session)
            policies["bc"] = measure.stacked_policy(
                cloning.policy, outcomes["bc"].states, deterministic=True
            )
        played = measure.returns(self.env, policies, key_judge, config.evaluation_episodes)
        summary = self.summarise(phase, outcomes, played)
        if session.directory is not None:
            summary |= self.write(session.directory, evolved)
            session.directory.write_summary(summary)
        return summary

    @property
    def term(self) -> potential.Potential:
        """What evolves."""
        return potential.make(self.config.algorithm.potential, self.env)

    def learning(self, key: Key) -> Phase:
        """One learner on the bare reward, for as long as those of the evolution live."""
        learner: Learner = registry.make(self.config.algorithm.learner, self.env, self.score)
        return Phase(
            name="guide",
            algorithm=alone.make(learner),
            data=self.reward_params,
            keys=jax.random.split(key, 1),
            iterations=self.config.algorithm.inner_iterations,
            chunk=self.config.algorithm.inner_iterations,
        )

    def cloning(self, key: Key, algorithm: Algorithm) -> Phase:
        """The baseline without a reward."""
        return Phase(
            name="bc",
            algorithm=algorithm,
            data=self.demos,
            keys=jax.random.split(key, 1),
            iterations=self.config.bc_iterations,
            chunk=self.config.bc_iterations,
        )

    def critic(self, states: PyTree) -> comparison.Term:
        """The learner's critic as a potential, in the units in which it saw observations."""
        learner = self.config.algorithm.learner
        state = jax.tree.map(lambda x: x[0], states)
        params = {"network": state.network, "obs_moments": state.obs_moments}
        return critics.of_policy(self.env, learner.network, params, learner.discount)

    def evolving(self, key: Key, critic: comparison.Term) -> Phase:
        """The evolutions, from Φ = 0 or from the critic."""
        config = self.config
        key_start, key = jax.random.split(key)
        network = critic.params["network"] if config.init == "critic" else self.term.init(key_start)
        return Phase(
            name="evolve",
            algorithm=self.algorithm,
            data={
                "reward": self.reward_params,
                "mean": critic.params["mean"],
                "std": critic.params["std"],
                "start": network,
                "physics": self.worlds,
            },
            keys=jax.random.split(key, config.num_seeds),
            iterations=config.generations,
            chunk=config.chunk,
        )

    def evolved(self, states: PyTree, critic: comparison.Term) -> list[comparison.Term]:
        """The potentials that the evolutions have come to."""
        networks = jax.vmap(self.algorithm.reward)(states)
        found = [jax.tree.map(lambda x, k=k: x[k], networks) for k in range(self.config.num_seeds)]
        return [comparison.Term(self.term, critic.params | {"network": one}) for one in found]

    def fresh(self, key: Key, critic: comparison.Term, evolved: list[comparison.Term]) -> Phase:
        """Learners without shaping, and under each of the terms that are compared."""
        config = self.config.algorithm
        terms = {"shaped": evolved, "critic": [critic]}
        if expert := critics.of_expert(self.env, config.learner.discount):
            terms["expert_critic"] = [expert]
        return comparison.make(
            config, self.env, self.score, self.reward_params, terms, key, self.config.num_fresh
        )

    def write(self, directory: RunDirectory, evolved: list[comparison.Term]) -> dict[str, Any]:
        """The potentials' files and, where all can be seen, the first's map; what that says."""
        config = self.config.algorithm.potential
        for seed, one in enumerate(evolved):
            path = directory.reward / f"potential-{seed}"
            artefacts.save_potential(path, one.params, config, self.env.spec)
        return landscape.write(directory.path, self.env, evolved[0])

    def summarise(
        self, phase: Phase, outcomes: dict[str, Outcome], played: dict[str, np.ndarray]
    ) -> dict[str, Any]:
        """What the run has to say for itself, by the contract of the run directory."""
        config = self.config
        found = comparison.summarise(phase, outcomes["fresh"].states, played["fresh"])
        if "bc" in played:
            found["bc_return"] = measure.summarise(played["bc"])
        evolving = outcomes["evolve"]
        _, expert, random = _shipped(self.env)
        return {
            "env": self.env.spec.name,
            "backend": self.env.spec.backend,
            "algorithm": "evil",
            "preset": config.preset,
            "seed": config.seed,
            "seeds": config.num_seeds,
            "expert_return": expert,
            "random_return": random,
            "env_steps": evolving.env_steps,
            "wall_s": sum(outcome.wall_s for outcome in outcomes.values()),
            "compile_s": sum(outcome.compile_s for outcome in outcomes.values()),
            "env_steps_per_s": evolving.env_steps_per_s,
            "peak_memory_mb": memory.peak_memory_mb(),
            "final_return": found.pop("shaped_return"),
            **found,
        }


def study(config: Config) -> Study:
    """Read and check everything that the study needs; call what is returned to carry it out."""
    at_least(
        1,
        num_seeds=config.num_seeds,
        generations=config.generations,
        num_fresh=config.num_fresh,
        chunk=config.chunk,
        evaluation_episodes=config.evaluation_episodes,
    )
    _check_start(config)
    env = environments.make(config.env, config.backend)
    score, params = _reward(config, env)
    return Study(
        config=config,
        env=env,
        score=score,
        reward_params=params,
        algorithm=evil.make(config.algorithm, env, score),
        demos=_shipped(env)[0],
        worlds=_worlds(config, env),
    )


def _reward(config: Config, env: Environment) -> tuple[Score, PyTree]:
    """The reward that is to be shaped, and its parameters."""
    if config.real == (config.reward_filename is not None):
        raise UserError("expected either --real or --reward_filename RUN, to say what is shaped.")
    if config.reward_filename is None:
        return fixed.real(), ()
    path = next(iter(retrained.rewards(Path(config.reward_filename)).values()))
    theirs, model, params = artefacts.load_reward(path)
    artefacts.check_world(path, theirs, env)
    return model.score, params


def _check_start(config: Config) -> None:
    """A potential that begins as a critic has the form of one."""
    if config.init not in ("zero", "critic"):
        raise unknown("start of the potential", config.init, ("zero", "critic"))
    if config.init == "zero":
        return
    network, wanted = config.algorithm.learner.network, config.algorithm.potential
    if wanted.inputs != "s":
        raise UserError(
            f"critics see states: expected init zero, or potential inputs s, found {wanted.inputs}."
        )
    if (network.hidden, network.activation) != (wanted.hidden, wanted.activation):
        raise UserError(
            f"the learner's critic has hidden layers {network.hidden} and {network.activation}: "
            f"expected init zero, or a potential like it, found {wanted.hidden} and "
            f"{wanted.activation}."
        )


def _worlds(config: Config, env: Environment) -> PyTree:
    """Worlds to be robust in: none of those that rewards are carried to."""
    if not config.robust:
        return None
    count = config.algorithm.inner_seeds
    if count < 2:
        raise UserError(
            f"robust means fit in several worlds, one per inner seed: expected "
            f"algorithm.inner_seeds above 1, found {count}."
        )
    return factors.worlds(env, range(1000, 1000 + count))


def _shipped(env: Environment) -> tuple[Demonstrations | None, float | None, float | None]:
    """Demonstrations, and the returns of the expert and of random actions, if there are any."""
    if not catalogue.has(env.spec):
        return None, None, None
    demos, card = catalogue.demonstrations(env.spec)
    return demos, card["return_mean"], card["random_return_mean"]
