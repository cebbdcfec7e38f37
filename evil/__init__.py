"""Inverse reinforcement learning and imitation learning, end to end in JAX.

    environments        `environments.make("hopper")`; or write your own:
    Environment, Spec, Step, Transition
    demonstrations      `demonstrations.load(file)`; or in memory: Demonstrations, from_episodes
    irl, bc, dagger     algorithms: `irl.make(irl.Config(), env)`
    ppo, sac            learners: `ppo.make(ppo.Config(), env, score)`
    ensemble, moment_matching, fixed        rewards
    make                whatever a config describes
    to_dict, from_dict  configs as plain data
    play, returns       full episodes of a policy
    retrain             fresh policies on a frozen reward
    Algorithm, Learner, RewardModel, Score, Policy      the seams between them
    UserError           what wrong input raises

Importing this module is cheap: each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evil import demonstrations as demonstrations
    from evil import environments as environments
    from evil.config import from_dict as from_dict
    from evil.config import to_dict as to_dict
    from evil.demonstrations import Demonstrations as Demonstrations
    from evil.demonstrations import from_episodes as from_episodes
    from evil.errors import UserError as UserError
    from evil.evaluation.episodes import play as play
    from evil.evaluation.episodes import returns as returns
    from evil.evaluation.retraining import retrain as retrain
    from evil.imitation import bc as bc
    from evil.imitation import dagger as dagger
    from evil.imitation import irl as irl
    from evil.learners import ppo as ppo
    from evil.learners import sac as sac
    from evil.registry import make as make
    from evil.rewards import ensemble as ensemble
    from evil.rewards import fixed as fixed
    from evil.rewards import moment_matching as moment_matching
    from evil.seams import Algorithm as Algorithm
    from evil.seams import Environment as Environment
    from evil.seams import Learner as Learner
    from evil.seams import Policy as Policy
    from evil.seams import RewardModel as RewardModel
    from evil.seams import Score as Score
    from evil.seams import Spec as Spec
    from evil.seams import Step as Step
    from evil.seams import Transition as Transition

_WHERE = {
    "demonstrations": "evil.demonstrations",
    "environments": "evil.environments",
    "Algorithm": "evil.seams",
    "Demonstrations": "evil.demonstrations",
    "Environment": "evil.seams",
    "Learner": "evil.seams",
    "Policy": "evil.seams",
    "RewardModel": "evil.seams",
    "Score": "evil.seams",
    "Spec": "evil.seams",
    "Step": "evil.seams",
    "Transition": "evil.seams",
    "UserError": "evil.errors",
    "bc": "evil.imitation.bc",
    "dagger": "evil.imitation.dagger",
    "ensemble": "evil.rewards.ensemble",
    "fixed": "evil.rewards.fixed",
    "from_dict": "evil.config",
    "from_episodes": "evil.demonstrations",
    "irl": "evil.imitation.irl",
    "make": "evil.registry",
    "moment_matching": "evil.rewards.moment_matching",
    "play": "evil.evaluation.episodes",
    "ppo": "evil.learners.ppo",
    "retrain": "evil.evaluation.retraining",
    "returns": "evil.evaluation.episodes",
    "sac": "evil.learners.sac",
    "to_dict": "evil.config",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'evil' has no attribute {name!r}")
    module = importlib.import_module(_WHERE[name])
    return module if _WHERE[name].endswith(f".{name}") else getattr(module, name)


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]
