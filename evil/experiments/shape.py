"""The shaping study: evolve a potential on a reward, and see whether learners become faster.

    guide     one learner on the reward: its critic is a potential too, and says how observations
              are scaled
    evolve    generations of learners under a population of potentials
    fresh     learners on fresh seeds: without shaping, with the evolved mean, with the critic

The fresh learners share learner, budget, random numbers and compiled program. Areas under their
curves are time-averages of true returns.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from evil import environments, normalise, registry
from evil.demonstrations import catalogue
from evil.errors import UserError, at_least, unknown
from evil.evaluation import statistics
from evil.experiments import artefacts, measure, retrained
from evil.learners import alone
from evil.rewards import combine, fixed, potential
from evil.running import memory
from evil.running.runner import Outcome, Phase, Session, run
from evil.seams import Algorithm, Environment, Key, Learner, PyTree, Score
from evil.shaping import evil, fresh, lives

GROUPS = ("unshaped", "shaped", "critic")


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
    real: bool = False
    """Shape the real reward."""
    reward_filename: str | None = None
    """Shape a recovered one: a finished run of run_irl.py, or one of its reward files."""
    generations: int = 30
    """Generations of the evolution."""
    init: Literal["zero", "critic"] = "zero"
    """Where the potential begins: at zero, or as the critic of a learner on the reward."""
    num_fresh: int = 10
    """Fresh learners of each kind."""
    chunk: int = 1
    """Generations between two updates of the display."""
    evaluation_episodes: int = 100
    """Full episodes behind each reported return."""
    algorithm: evil.Config = evil.Config()
    """The evolution."""


@dataclasses.dataclass(frozen=True)
class Study:
    """A shaping study that is ready to begin."""

    config: Config
    env: Environment
    score: Score
    reward_params: PyTree
    algorithm: Algorithm

    def __call__(self, session: Session) -> dict[str, Any]:
        """Go through all phases, measure, and fill the run directory; returns the summary."""
        config = self.config
        key_critic, key_evolve, key_fresh, key_judge = jax.random.split(
            jax.random.key(config.seed), 4
        )
        outcomes = {"guide": run(self.learning(key_critic), session)}
        critic = self.critic(outcomes["guide"].states)
        outcomes["evolve"] = run(self.evolving(key_evolve, critic), session)
        evolved = jax.tree.map(
            lambda x: x[0], jax.vmap(self.algorithm.reward)(outcomes["evolve"].states)
        )
        phase = self.fresh(key_fresh, critic, evolved)
        outcomes["fresh"] = run(phase, session)

        session.progress.note(
            f"playing {config.evaluation_episodes} full episodes with each policy"
        )
        policy = measure.stacked_policy(phase.algorithm.policy, outcomes["fresh"].states)
        played = measure.returns(
            self.env, {"fresh": policy}, key_judge, config.evaluation_episodes
        )["fresh"]
        summary = self.summarise(outcomes, played)
        if session.directory is not None:
            params = potential.parameters(
                evolved, critic["mean"], critic["std"], config.algorithm.learner.discount
            )
            path = session.directory.reward / "potential-0"
            artefacts.save_potential(path, params, config.algorithm.potential, self.env.spec)
            session.directory.write_summary(summary)
        return summary

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

    def critic(self, states: PyTree) -> dict[str, PyTree]:
        """The learner's critic as a potential, in the units in which it saw observations."""
        state = jax.tree.map(lambda x: x[0], states)
        moments = state.obs_moments
        return {
            "network": {"params": state.network["params"]["critic_network"]},
            "mean": moments.mean.reshape(-1),
            "std": normalise.deviation(moments).reshape(-1),
        }

    def evolving(self, key: Key, critic: dict[str, PyTree]) -> Phase:
        """The evolution, from Φ = 0 or from the critic."""
        config = self.config
        key_start, key = jax.random.split(key)
        start = potential.make(config.algorithm.potential, self.env).init(key_start)
        return Phase(
            name="evolve",
            algorithm=self.algorithm,
            data={
                "reward": self.reward_params,
                "mean": critic["mean"],
                "std": critic["std"],
                "start": critic["network"] if config.init == "critic" else start,
                "physics": None,
            },
            keys=jax.random.split(key, 1),
            iterations=config.generations,
            chunk=config.chunk,
        )

    def fresh(self, key: Key, critic: dict[str, PyTree], evolved: PyTree) -> Phase:
        """Lanes of every group on the same fresh seeds."""
        config = self.config.algorithm
        num = self.config.num_fresh
        term = potential.make(config.potential, self.env)
        shaped = combine.shaped(self.score, term.score, scaled=config.scaled)
        networks = {"unshaped": evolved, "shaped": evolved, "critic": critic["network"]}
        shaping = [
            potential.parameters(
                networks[name],
                critic["mean"],
                critic["std"],
                config.learner.discount,
                0.0 if name == "unshaped" else 1.0,
            )
            for name in GROUPS
            for _ in range(num)
        ]
        return Phase(
            name="fresh",
            algorithm=fresh.make(registry.make(config.learner, self.env, shaped)),
            data={
                "reward": {
                    "reward": self.reward_params,
                    "shaping": jax.tree.map(lambda *x: jnp.stack(x), *shaping),
                },
                "physics": None,
            },
            data_axes={"reward": {"reward": None, "shaping": 0}, "physics": None},
            keys=jnp.tile(jax.random.split(key, num), len(GROUPS)),
            groups=tuple((name, num) for name in GROUPS),
            iterations=config.inner_iterations,
            chunk=max(1, config.inner_iterations // 20),
        )

    def summarise(self, outcomes: dict[str, Outcome], played: np.ndarray) -> dict[str, Any]:
        """What the run has to say for itself, by the contract of the run directory."""
        config, num = self.config, self.config.num_fresh
        tallies = outcomes["fresh"].states.tally
        areas = np.asarray(
            jax.vmap(lambda tally: lives.worth(tally, "area_under_curve"))(tallies), np.float64
        )
        areas = dict(zip(GROUPS, areas.reshape(len(GROUPS), num), strict=True))
        returns = dict(zip(GROUPS, played.reshape(len(GROUPS), num, -1), strict=True))
        evolving = outcomes["evolve"]
        expert, random = _card_returns(self.env)
        return {
            "env": self.env.spec.name,
            "backend": self.env.spec.backend,
            "algorithm": "evil",
            "preset": config.preset,
            "seed": config.seed,
            "seeds": 1,
            "expert_return": expert,
            "random_return": random,
            "env_steps": evolving.env_steps,
            "wall_s": sum(outcome.wall_s for outcome in outcomes.values()),
            "compile_s": sum(outcome.compile_s for outcome in outcomes.values()),
            "env_steps_per_s": evolving.env_steps_per_s,
            "peak_memory_mb": memory.peak_memory_mb(),
            "final_return": measure.summarise(returns["shaped"]),
            "unshaped_return": measure.summarise(returns["unshaped"]),
            "critic_return": measure.summarise(returns["critic"]),
            "area_under_curve": _interval(areas["shaped"]),
            "unshaped_area_under_curve": _interval(areas["unshaped"]),
            "critic_area_under_curve": _interval(areas["critic"]),
        }


def study(config: Config) -> Study:
    """Read and check everything that the study needs; call what is returned to carry it out."""
    at_least(
        1,
        generations=config.generations,
        num_fresh=config.num_fresh,
        chunk=config.chunk,
        evaluation_episodes=config.evaluation_episodes,
    )
    if config.init not in ("zero", "critic"):
        raise unknown("start of the potential", config.init, ("zero", "critic"))
    env = environments.make(config.env, config.backend)
    score, params = _reward(config, env)
    _check_critic(config)
    return Study(
        config=config,
        env=env,
        score=score,
        reward_params=params,
        algorithm=evil.make(config.algorithm, env, score),
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


def _check_critic(config: Config) -> None:
    """A critic is a potential of its own network's form."""
    network, wanted = config.algorithm.learner.network, config.algorithm.potential
    if wanted.inputs != "s":
        raise UserError(
            f"the critic, which potentials are compared with, sees states: expected "
            f"potential inputs s, found {wanted.inputs}."
        )
    if (network.hidden, network.activation) != (wanted.hidden, wanted.activation):
        raise UserError(
            f"the critic is a potential like any other: expected a potential with hidden layers "
            f"{network.hidden} and {network.activation}, found {wanted.hidden} and "
            f"{wanted.activation}."
        )


def _card_returns(env: Environment) -> tuple[float | None, float | None]:
    """Expert's and random actions' return, where an expert is shipped."""
    place = catalogue.directory(env.spec.name, env.spec.backend)
    if not (place / catalogue.CARD).is_file():
        return None, None
    card = catalogue.card(env.spec)
    return card["return_mean"], card["random_return_mean"]


def _interval(values: np.ndarray) -> dict[str, Any]:
    """Mean over seeds with its 95 % bootstrap interval, and the seeds."""
    low, high = statistics.bootstrap_interval(values)
    return {
        "mean": float(values.mean()),
        "low": low,
        "high": high,
        "per_seed": [float(x) for x in values],
    }
