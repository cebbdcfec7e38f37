"""Whether a policy can label what is seen in an environment."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from evil.errors import UserError
from evil.learners.policies import Outputs
from evil.networks.actor_critic import ActorCritic
from evil.seams import Policy, Spec


def actions(expert: Policy, spec: Spec) -> jax.ShapeDtypeStruct:
    """The form of an expert's actions in a batch of one; UserError if they are none of `spec`'s."""
    obs = jax.ShapeDtypeStruct((1, *spec.obs_shape), jnp.float32)
    try:
        found, _ = jax.eval_shape(
            lambda params, obs: expert.act(params, obs, jax.random.key(0), expert.memory(1)),
            expert.params,
            obs,
        )
    except Exception as error:  # whatever the expert's own code raises
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"the expert cannot act on observations of shape {spec.obs_shape}, which are those "
            f"of {spec.name!r}: {reason}"
        ) from error
    expected = jax.ShapeDtypeStruct(
        (1,) if spec.is_discrete else (1, spec.action_size),
        jnp.int32 if spec.is_discrete else jnp.float32,
    )
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        raise UserError(
            f"the expert's actions are {found.dtype} of shape {found.shape[1:]}, but those of "
            f"{spec.name!r} are {expected.dtype} of shape {expected.shape[1:]}."
        )
    return found


def check_distribution(
    loss: str, spec: Spec, module: ActorCritic, expert: Policy, outputs: Outputs | None
) -> None:
    """UserError unless the distributions of expert and learner can be compared."""
    if outputs is None:
        raise UserError(f"loss {loss!r} needs the expert's distribution: use nll or mse.")
    obs = jax.ShapeDtypeStruct((1, *spec.obs_shape), jnp.float32)
    ours = jax.eval_shape(
        lambda key, obs: module.init_with_output(key, obs, method="actor")[0],
        jax.random.key(0),
        obs,
    )
    theirs = jax.eval_shape(outputs, expert.params, obs)
    found, expected = ({name: x.shape[1:] for name, x in t.items()} for t in (theirs, ours))
    if found != expected:
        raise UserError(
            f"loss {loss!r} compares distributions alike, but the expert's is made of {found} "
            f"and the learner's of {expected}."
        )


def check_spaces(found: Spec, expected: Spec, what: str) -> None:
    """UserError if what was trained in one environment cannot act in another."""
    spaces = [(spec.obs_shape, spec.num_actions, spec.action_size) for spec in (found, expected)]
    if spaces[0] != spaces[1]:
        raise UserError(f"{what} {_spaces(found)}, but {expected.name} {_spaces(expected)}.")


def _spaces(spec: Spec) -> str:
    one = f"{spec.num_actions} actions" if spec.is_discrete else f"{spec.action_size}-vectors"
    return f"has observations of shape {spec.obs_shape} and {one}"
