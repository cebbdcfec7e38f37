"""The expert that labels: a policy from a file, in the environment that it is for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from evil import distributions
from evil.demonstrations import catalogue
from evil.errors import UserError
from evil.evaluation import episodes
from evil.experiments import evaluate
from evil.experiments.shared import artefacts, measure
from evil.imitation import labelling
from evil.learners import policies
from evil.learners.policies import Outputs
from evil.networks import actor_critic
from evil.running import weights
from evil.seams import Environment, Key, Policy


@dataclasses.dataclass(frozen=True)
class Teacher:
    """An expert, what its distribution is made of, and the returns between which a learner lies."""

    env: Environment
    policy: Policy
    outputs: Outputs
    distribution: str  # the name of its family
    expert_return: float | None  # None where no score card says
    random_return: float | None


def read(env: Environment, path: str | None, *, deterministic: bool) -> Teacher:
    """The expert in a file or folder, or the shipped one; by its mode, or as it samples."""
    spec = env.spec
    card: dict[str, Any] = {}
    if path is None:
        folder = catalogue.directory(spec.name, spec.backend)
        if folder.name not in catalogue.available():
            raise UserError(
                f"no expert is shipped for {folder.name} (available: "
                f"{', '.join(catalogue.available()) or 'none'}): pass one with --expert."
            )
        card = catalogue.card(spec)
        file = folder / catalogue.POLICY
    else:
        file = _only(Path(path))
    theirs, network, params = artefacts.load_network(file)
    labelling.check_spaces(theirs.spec, spec, f"the expert in {file}")
    artefacts.check_world(file, theirs, env)
    mode = deterministic or weights.describe(file).get("actions") == "mode"
    module = actor_critic.make(network, spec)
    return Teacher(
        env=env,
        policy=policies.make(network, module, params, deterministic=mode),
        outputs=policies.distribution(network, module),
        distribution=distributions.resolve(network.distribution, spec),
        expert_return=card.get("return_mean_of_mode" if mode else "return_mean_of_samples"),
        random_return=card.get("random_return_mean"),
    )


def references(teacher: Teacher, key: Key, num_episodes: int) -> dict[str, float]:
    """Returns of the expert and of random actions: from the card, or measured without one."""
    measured = {"expert": teacher.policy, "random": episodes.random_policy(teacher.env)}
    known = {"expert": teacher.expert_return, "random": teacher.random_return}
    return {
        f"{name}_return": measure.mean_return(teacher.env, measured[name], key, num_episodes)
        if value is None
        else value
        for name, value in known.items()
    }


def _only(path: Path) -> Path:
    """The one policy file that `path` is or has."""
    found = evaluate.find(path)
    if len(found) > 1:
        raise UserError(f"{path} has several policies: choose one file of {', '.join(found)}.")
    return next(iter(found.values()))
