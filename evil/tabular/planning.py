"""Value iteration, soft and hard, over a finite horizon or to the fixed point.

    Q_t(s, a) = r(s, a) + γ E V_{t+1}(s')
    V_t(s)    = τ log Σ_a exp(Q_t(s, a) / τ),   π_t(a|s) = exp((Q_t(s, a) - V_t(s)) / τ)

with V_T = 0; a temperature τ of 0 is the maximum, and the first action that attains it. What comes
after an end state is a choice (`Terminal`), and it matters: the entropy of steps that are never
taken is worth τ log A each.

    absorb    the world stays there, unpaid, while entropy goes on: ending early costs nothing
    zero      nothing follows; of a reward that is no loss, the soft optimum is not to end
    continue  the end is ignored, and the dynamics' own way on is taken

The derivative of the soft value by the reward is the discounted occupancy of the soft policy:
`jax.grad` of `soft_value` is what feature matching needs.

Reference: ziebart2010mce
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from evil.errors import UserError, unknown
from evil.pytrees import pytree
from evil.tabular.dynamics import log_sum_exp
from evil.tabular.mdp import MDP
from evil.tabular.occupancy import stationary_occupancy

Terminal = Literal["absorb", "zero", "continue"]
TERMINALS = ("absorb", "zero", "continue")
MAX_SWEEPS = 100_000


@pytree
class Plan:
    """Values and the policy that has them; without the axis of time where they do not change."""

    values: Array  # [T, S] or [S]
    policy: Array  # [T, S, A] or [S, A] probabilities


def check(horizon: int | None, discount: float, terminal: str) -> None:
    """UserError for what no value iteration can be: an endless undiscounted sum, for example."""
    if terminal not in TERMINALS:
        raise unknown("treatment of terminal states", terminal, TERMINALS)
    if not 0.0 < discount <= 1.0:
        raise UserError(f"discount must be above 0 and at most 1, found {discount:g}.")
    if horizon is None and discount == 1.0:
        raise UserError("an infinite horizon needs a discount below 1, found 1.")
    if horizon is not None and horizon < 1:
        raise UserError(f"horizon must be at least 1, found {horizon}.")


def finite(
    mdp: MDP,
    reward: Array,
    horizon: int,
    *,
    discount: Array | float = 1.0,
    temperature: float = 1.0,
    terminal: Terminal = "absorb",
) -> Plan:
    """The optimum of `reward [S, A]` over `horizon` steps, which depends on time."""

    def earlier(values: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        action_values = backup(mdp, reward, values, discount, terminal)
        values, policy = improve(action_values, temperature)
        return values, (values, policy)

    first = jnp.zeros(mdp.num_states)
    _, (values, policy) = jax.lax.scan(earlier, first, length=horizon, reverse=True)
    return Plan(values=values, policy=policy)


def stationary(
    mdp: MDP,
    reward: Array,
    *,
    discount: Array | float,
    temperature: float = 1.0,
    terminal: Terminal = "absorb",
    tolerance: float = 1e-5,
) -> Plan:
    """The optimum over an infinite horizon, to within `tolerance` of value.

    Sweeps until no value changes by more than `tolerance · (1 - γ)`, or float32 allows no less.
    """

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        values, _, count = carry
        after = improve(backup(mdp, reward, values, discount, terminal), temperature)[0]
        moved = jnp.max(jnp.abs(after - values))
        floor = 4 * jnp.finfo(jnp.float32).eps * jnp.max(jnp.abs(after))
        return after, moved > jnp.maximum(tolerance * (1.0 - discount), floor), count + 1

    start = (jnp.zeros(mdp.num_states), jnp.ones((), bool), jnp.zeros((), jnp.int32))
    going = lambda carry: carry[1] & (carry[2] < MAX_SWEEPS)  # noqa: E731
    values, _, _ = jax.lax.while_loop(going, sweep, start)
    values, policy = improve(backup(mdp, reward, values, discount, terminal), temperature)
    return Plan(values=values, policy=policy)


def plan(
    mdp: MDP,
    reward: Array,
    horizon: int | None,
    *,
    discount: Array | float = 1.0,
    temperature: float = 1.0,
    terminal: Terminal = "absorb",
) -> Plan:
    """`finite`, or `stationary` for no horizon."""
    if horizon is None:
        return stationary(
            mdp, reward, discount=discount, temperature=temperature, terminal=terminal
        )
    return finite(
        mdp, reward, horizon, discount=discount, temperature=temperature, terminal=terminal
    )


def soft_value(
    mdp: MDP,
    reward: Array,
    horizon: int | None,
    *,
    discount: Array | float = 1.0,
    terminal: Terminal = "absorb",
) -> Array:
    """Expected soft value `[]` of the first state; its gradient by `reward` is the occupancy.

    Over a finite horizon by reverse mode through the backups, which recomputes their policies. At
    a fixed point by the identity itself: through the sweeps it would be slow, and not exact.
    """
    if horizon is None:
        found = jax.lax.stop_gradient(stationary(mdp, reward, discount=discount, terminal=terminal))
        visits = stationary_occupancy(
            mdp, found.policy, discount=discount, ends=terminal != "continue"
        )
        visits = jax.lax.stop_gradient(visits)
        return mdp.start @ found.values + jnp.sum(visits * (reward - jax.lax.stop_gradient(reward)))

    @jax.checkpoint
    def earlier(values: Array, _: None) -> tuple[Array, None]:
        return log_sum_exp(backup(mdp, reward, values, discount, terminal)), None

    values, _ = jax.lax.scan(earlier, jnp.zeros(mdp.num_states), length=horizon)
    return mdp.start @ values


def backup(
    mdp: MDP, reward: Array, values: Array, discount: Array | float, terminal: Terminal
) -> Array:
    """Q `[S, A]` of the values `[S]` one step later."""
    end = mdp.end[:, None]
    if terminal != "continue":
        reward = jnp.where(end, 0.0, reward)
    if terminal == "zero":
        values = jnp.where(mdp.end, 0.0, values)
    ahead = mdp.dynamics.backward(values)
    if terminal != "continue":
        ahead = jnp.where(end, values[:, None], ahead)
    return reward + discount * ahead


def improve(action_values: Array, temperature: float) -> tuple[Array, Array]:
    """Values `[S]` and the policy `[S, A]` at a temperature; at 0 the first best action."""
    if temperature == 0.0:
        best = jnp.argmax(action_values, axis=-1)
        return jnp.max(action_values, axis=-1), jax.nn.one_hot(best, action_values.shape[-1])
    scaled = action_values / temperature
    return temperature * log_sum_exp(scaled), jax.nn.softmax(scaled, axis=-1)
