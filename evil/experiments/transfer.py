"""The transfer study: rewards carried to worlds whose dynamics differ from where they were found.

    real        the real reward in the changed world: what could be reached there
    recovered   the recovered reward
    shaped      the recovered reward and its evolved shaping term, where one is given
    bc          the clone of the source world, as it is

Every changed world, seed and reward is a lane of one program.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from evil import environments, registry
from evil.config import from_dict
from evil.environments import dynamics, factors, tremble
from evil.errors import UserError, at_least, unknown
from evil.evaluation import episodes
from evil.experiments.settings import presets
from evil.experiments.shared import artefacts, measure, retrained
from evil.learners import choice
from evil.pytrees import take
from evil.rewards import combine, fixed
from evil.running import memory
from evil.running.directory import RunDirectory
from evil.running.runner import Outcome, Phase, Session, run
from evil.seams import Environment, Key, Policy, PyTree, RewardModel
from evil.shaping import fresh, lives

DYNAMICS = ("published", "factors")


@dataclasses.dataclass(frozen=True)
class Config:
    """Carrying a reward to changed worlds."""

    reward: str = ""
    """A finished run of run_irl.py, or one of its reward files."""
    shaping: str | None = None
    """A finished run of run_evil.py on that reward."""
    env: str | None = None
    """Environment; default: the reward's own."""
    seed: int = 1
    """Seed of everything random but the worlds."""
    num_seeds: int = 1
    """Learners in each world on each reward."""
    dynamics: Literal["published", "factors"] = "published"
    """How worlds differ: as published (other bodies; classic control, one other world), or by
    factors of gravity, friction, masses and motors."""
    num_dynamics: int = 5
    """Changed worlds, drawn with seeds from 0."""
    tremble: float = 0.0
    """Probability with which an action is replaced by a random one."""
    iterations: int | None = None
    """Iterations of each learner; default: those of the run, or of the preset."""
    evaluation_episodes: int = 100
    """Full episodes behind each reported return."""


@dataclasses.dataclass(frozen=True)
class Study:
    """A transfer study that is ready to begin."""

    config: Config
    env: Environment
    model: RewardModel
    reward_params: PyTree
    shaping: tuple[Any, PyTree] | None  # potential and parameters
    worlds: PyTree  # [D, ...]
    learner: choice.AnyConfig
    iterations: int
    clones: tuple[Policy, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        return ("real", "recovered", *["shaped"] * (self.shaping is not None))

    @property
    def num_worlds(self) -> int:
        return jax.tree.leaves(self.worlds)[0].shape[0]

    def __call__(self, session: Session) -> dict[str, Any]:
        """Train, play, and fill the run directory; returns the summary."""
        key_train, key_play = jax.random.split(jax.random.key(self.config.seed))
        phase = self.training(key_train)
        outcome = run(phase, session)
        session.progress.note(f"playing {self.config.evaluation_episodes} full episodes")
        policy = measure.stacked_policy(phase.algorithm.policy, outcome.states)
        played = self.play(policy, take(self.worlds, self.world_of_lane()), key_play)
        cloned = [
            self.play(_in_every_world(clone, self.num_worlds), self.worlds, key_play)
            for clone in self.clones
        ]
        summary = self.summarise(outcome, played, cloned)
        if session.directory is not None:
            session.directory.write_summary(summary)
        return summary

    def world_of_lane(self) -> jax.Array:
        """Lanes are groups of worlds of seeds: which world each lane is in."""
        each = jnp.repeat(jnp.arange(self.num_worlds), self.config.num_seeds)
        return jnp.tile(each, len(self.groups))

    def training(self, key: Key) -> Phase:
        """All learners at once."""
        lanes = self.num_worlds * self.config.num_seeds
        score = combine.weighted(fixed.real(), self.model.score)
        weights = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]][: len(self.groups)]
        params: dict[str, Any] = {
            "weights": jnp.repeat(jnp.array(weights), lanes, axis=0),
            "parts": ((), self.reward_params),
        }
        axes: dict[str, Any] = {"weights": 0, "parts": None}
        if self.shaping is not None:
            potential, shaping = self.shaping
            score = combine.shaped(score, combine.weighted(potential.score))
            is_shaped = jnp.array([[float(name == "shaped")] for name in self.groups])
            parts = {"weights": jnp.repeat(is_shaped, lanes, axis=0), "parts": (shaping,)}
            params = {"reward": params, "shaping": parts}
            axes = {"reward": axes, "shaping": {"weights": 0, "parts": None}}
        return Phase(
            name="transfer",
            algorithm=fresh.make(registry.make(self.learner, self.env, score)),
            data={"reward": params, "physics": take(self.worlds, self.world_of_lane())},
            data_axes={"reward": axes, "physics": 0},
            keys=jnp.tile(jax.random.split(key, lanes), len(self.groups)),
            groups=tuple((name, lanes) for name in self.groups),
            iterations=self.iterations,
            chunk=max(1, self.iterations // 50),
        )

    def play(self, policy: Policy, worlds: PyTree, key: Key) -> np.ndarray:
        """True returns `[L, E]` of stacked policies, each in its own world."""

        def one(policy: Policy, world: PyTree) -> jax.Array:
            count = self.config.evaluation_episodes
            return episodes.returns(self.env, policy, key, count, physics=world)[0]

        return np.asarray(jax.jit(jax.vmap(one))(policy, worlds))

    def summarise(
        self, outcome: Outcome, played: np.ndarray, cloned: list[np.ndarray]
    ) -> dict[str, Any]:
        """What the run has to say for itself; a lane that broke is left out, and reported."""
        tallies = outcome.states.tally
        areas = np.asarray(jax.vmap(lambda t: lives.worth(t, "area_under_curve"))(tallies))
        broken = [entry.lane for entry in outcome.frozen]
        size = self.num_worlds * self.config.num_seeds
        found: dict[str, Any] = {}
        for index, name in enumerate(self.groups):
            lanes = [lane for lane in range(index * size, (index + 1) * size) if lane not in broken]
            if lanes:
                found[f"{name}_return"] = measure.summarise(played[lanes])
                found[f"{name}_area_under_curve"] = [float(x) for x in areas[lanes]]
        if cloned:
            found["bc_return"] = measure.summarise(np.concatenate(cloned))
        return {
            "env": self.env.spec.name,
            "backend": self.env.spec.backend,
            "algorithm": "transfer",
            "seed": self.config.seed,
            "seeds": self.config.num_seeds,
            "num_dynamics": self.num_worlds,
            "tremble": self.config.tremble,
            "expert_return": None,
            "random_return": None,
            "env_steps": outcome.env_steps,
            "wall_s": outcome.wall_s,
            "compile_s": outcome.compile_s,
            "env_steps_per_s": outcome.env_steps_per_s,
            "peak_memory_mb": memory.peak_memory_mb(),
            "final_return": found.get("shaped_return", found.get("recovered_return")),
            **found,
            "frozen": [dataclasses.asdict(lane) for lane in outcome.frozen],
        }


def study(config: Config) -> Study:
    """Read and check everything that the study needs; call what is returned to carry it out."""
    at_least(
        1,
        num_seeds=config.num_seeds,
        num_dynamics=config.num_dynamics,
        evaluation_episodes=config.evaluation_episodes,
    )
    if not config.reward:
        raise UserError("expected --reward RUN: a finished run of run_irl.py, or a reward file.")
    path = Path(config.reward)
    file = next(iter(retrained.rewards(path).values()))
    source, model, params = artefacts.load_reward(file)
    if config.env is not None:
        artefacts.check_world(
            file, source, environments.make(config.env, source.spec.backend or None)
        )
    learner, iterations = _learner(path, source)
    iterations = iterations if config.iterations is None else config.iterations
    at_least(1, iterations=iterations)
    return Study(
        config=config,
        env=tremble.make(source, config.tremble) if config.tremble else source,
        model=model,
        reward_params=params,
        shaping=None if config.shaping is None else _shaping(Path(config.shaping), source),
        worlds=_worlds(config, source),
        learner=dataclasses.replace(learner, anneal_iterations=iterations),
        iterations=iterations,
        clones=_clones(path),
    )


def _worlds(config: Config, env: Environment) -> PyTree:
    """Physics parameters `[D, ...]` of the changed worlds."""
    if config.dynamics not in DYNAMICS:
        raise unknown("dynamics", config.dynamics, DYNAMICS)
    if config.dynamics == "factors":
        return factors.worlds(env, range(config.num_dynamics))
    if env.spec.backend:
        return dynamics.bodies(env, range(config.num_dynamics))
    if env.spec.name not in dynamics.CLASSICS:
        raise UserError(
            f"no changed worlds are known for {env.spec.name}: expected a Brax environment or one "
            f"of {', '.join(dynamics.CLASSICS)}."
        )
    changed = dataclasses.replace(env.params, **dynamics.CLASSICS[env.spec.name])
    return jax.tree.map(lambda x: jnp.asarray(x)[None], changed)


def _learner(path: Path, env: Environment) -> tuple[choice.AnyConfig, int]:
    """The learner and the budget of a run, or of the preset."""
    if path.is_dir():
        config: Any = from_dict(RunDirectory.open(path).read_config())
    else:
        backend = env.spec.backend or None
        config = presets.recovery(env.spec.name, "auto", irl_plus=True, backend=backend)
    return config.fresh_learner, config.iterations


def _shaping(path: Path, env: Environment) -> tuple[Any, PyTree]:
    """The potential of a run."""
    file = path if path.is_file() else path / "reward" / "potential-0.safetensors"
    if not file.is_file():
        raise UserError(f"{path} has no evolved potential: expected a finished run of run_evil.py.")
    theirs, potential, params = artefacts.load_potential(file)
    artefacts.check_world(file, theirs, env)
    return potential, params


def _clones(path: Path) -> tuple[Policy, ...]:
    """The cloned policies of a run."""
    if not path.is_dir():
        return ()
    files = sorted((path / "policy").glob("bc-*.safetensors"))
    return tuple(artefacts.load_policy(file, deterministic=True)[1] for file in files)


def _in_every_world(policy: Policy, count: int) -> Policy:
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), policy)
