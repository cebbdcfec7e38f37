"""Critics as potentials: where a learner expects to be paid is where a reward wants it to go."""

from __future__ import annotations

import jax

from evil import normalise
from evil.demonstrations import catalogue
from evil.errors import UserError
from evil.experiments.shared import artefacts
from evil.experiments.shared.comparison import Term
from evil.learners import ppo
from evil.networks import actor_critic
from evil.rewards import potential
from evil.seams import Environment, Policy, PyTree


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


def of_policies(env: Environment, learner: object, stacked: Policy) -> Term:
    """Those beside stacked policies of PPO, as one term whose parameters are stacked alike.

    UserError for learners without a critic of observations.
    """
    learner = checked(learner)
    network, discount = learner.network, learner.discount
    first = of_policy(env, network, jax.tree.map(lambda x: x[0], stacked.params), discount)
    params = jax.vmap(lambda params: of_policy(env, network, params, discount).params)
    return Term(potential=first.potential, params=params(stacked.params))


def checked(learner: object) -> ppo.Config:
    """A learner whose critic can be a potential; UserError for another."""
    if not isinstance(learner, ppo.Config) or learner.network.embed:
        raise UserError(
            "the learner has no critic that sees observations, and nothing else shapes: expected "
            "PPO with layers."
        )
    return learner


def of_expert(env: Environment, discount: float) -> Term | None:
    """That of the shipped expert, if there is one for this environment and it has a critic."""
    path = catalogue.directory(env.spec.name, env.spec.backend) / catalogue.POLICY
    if not path.is_file():
        return None
    _, config, params = artefacts.load_network(path)
    if not config.critic:
        return None
    return of_policy(env, config, params, discount)
