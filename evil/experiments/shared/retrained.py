"""Fresh policies on recovered rewards from disk: of a whole run, or of one file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from evil.config import from_dict
from evil.errors import UserError
from evil.experiments import evaluate
from evil.experiments.settings import presets
from evil.experiments.shared import artefacts, measure, retraining
from evil.running import weights
from evil.running.directory import RunDirectory
from evil.running.runner import Session, run
from evil.seams import Environment


@dataclasses.dataclass(frozen=True)
class Retrained:
    """Full episodes of fresh policies: `retrain-0` and so on, `rl-0`, `survival-0`."""

    env: Environment
    played: dict[str, evaluate.Played]


def retrain(
    path: Path,
    session: Session,
    *,
    per_reward: int,
    num_episodes: int,
    seed: int,
    iterations: int | None = None,
    deterministic: bool = False,
) -> Retrained:
    """Train fresh policies and play full episodes with them, or with their modes.

    A run's rewards are retrained with the learner and budget of that run, a file's with those of
    the environment's preset.
    """
    found = rewards(path)
    config: Any = from_dict(RunDirectory.open(path).read_config()) if path.is_dir() else None
    loaded = [artefacts.load_reward(file) for file in found.values()]
    env, model, _ = loaded[0]
    if config is None:
        name, backend = env.spec.name, env.spec.backend or None
        config = presets.recovery(name, "auto", irl_plus=True, backend=backend)
    key_train, key_play = jax.random.split(jax.random.key(seed))
    params = jax.tree.map(lambda *x: jnp.stack(x), *[params for *_, params in loaded])
    again = retraining.make(
        config.fresh_learner,
        model,
        env,
        params,
        key_train,
        per_reward=per_reward,
        iterations=config.iterations if iterations is None else iterations,
        chunk=config.chunk,
    )
    states = run(again.phase, session).states
    loaded_policies = [
        evaluate.Loaded(f"{name}-{lane}", env, measure.unstack(stacked, lane))
        for name, stacked in again.policies(states, deterministic=deterministic).items()
        for lane in range(jax.tree.leaves(stacked.params)[0].shape[0])
    ]
    return Retrained(env=env, played=evaluate.play(loaded_policies, key_play, num_episodes))


def rewards(path: Path) -> dict[str, Path]:
    """Reward files by name: of a run directory, or one file itself."""
    if path.is_file() and path.suffix == weights.SUFFIX:
        return {path.stem: path}
    if not path.is_dir():
        raise UserError(f"{path}: expected a run directory or a reward file there.")
    found = {file.stem: file for file in sorted((path / "reward").glob(f"*{weights.SUFFIX}"))}
    if not found:
        raise UserError(f"{path} has no recovered rewards: expected a finished run of run_irl.py.")
    return found
