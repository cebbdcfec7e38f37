"""Critics as potentials: where a learner expects to be paid is where a reward wants it to go."""

from __future__ import annotations

from evil import normalise
from evil.demonstrations import catalogue
from evil.experiments.shared import artefacts
from evil.experiments.shared.comparison import Term
from evil.networks import actor_critic
from evil.rewards import potential
from evil.seams import Environment, PyTree


def of_policy(
    env: Environment, config: actor_critic.Config, params: PyTree, discount: float
) -> Term:
    """The critic beside a policy, of the parameters of `evil.learners.policies`.

    It sees observations as the policy does, and counts in the units to which its learner had
    scaled rewards.
    """
    moments = params["obs_moments"]
    form = potential.Config(hidden=config.hidden, activation=config.activation)
    return Term(
        potential=potential.make(form, env),
        params=potential.parameters(
            {"params": params["network"]["params"]["critic_network"]},
            moments.mean.reshape(-1),
            normalise.deviation(moments).reshape(-1),
            discount,
        ),
    )


def of_expert(env: Environment, discount: float) -> Term | None:
    """That of the shipped expert, if there is one for this environment and it has a critic."""
    path = catalogue.directory(env.spec.name, env.spec.backend) / catalogue.POLICY
    if not path.is_file():
        return None
    _, config, params = artefacts.load_network(path)
    if not config.critic:
        return None
    return of_policy(env, config, params, discount)
