"""Worlds whose values and best actions are known, for learners to be tried on.

All are one tabular environment whose tables are physics parameters, so they train side by side in
one program: the probes of Andy Jones ("Debugging RL, without the agonising pain") and two on time
limits. A state pays `pay - strict · distance(action, aim)`.
"""

import jax
import jax.numpy as jnp

from evil.pytrees import take
from evil.seams import Environment, Spec, Step

STATES = jnp.eye(3)  # observations


def world(starts=(0,), following=(0, 0, 0), ends=(1, 1, 1), pay=(1, 1, 1), strict=0, aim=(0, 0, 0)):
    """Tables of one world: where episodes start, what follows each state, and what it pays."""
    return {
        "starts": jnp.array([0.0 if s in starts else -jnp.inf for s in range(3)]),
        "following": jnp.array(following, jnp.int32),
        "ends": jnp.array(ends, bool),
        "pay": jnp.array(pay, jnp.float32),
        "strict": jnp.float32(strict),
        "aim": jnp.array(aim, jnp.float32),
    }


CHAIN = {"following": (1, 2, 2), "ends": (0, 0, 1)}
WORLDS = {
    "value": world(),
    "value_of_observation": world(starts=(0, 1), pay=(1, -1, 0)),
    "delayed_value": world(following=(1, 0, 0), ends=(0, 1, 1), pay=(0, 1, 0)),
    "action": world(strict=1, aim=(1, 1, 1)),
    "action_by_observation": world(starts=(0, 1), strict=1, aim=(0, 1, 0)),
    "time_limit": world(following=(1, 1, 1), ends=(0, 0, 0), pay=(0, 1, 1)),
    "end_of_task": world(**CHAIN),
}


def reset(key, params):
    state = jax.random.categorical(key, params["starts"]).astype(jnp.int32)
    return state, STATES[state]


def step(key, state, action, params):
    distance = jnp.sum(jnp.square(action - params["aim"][state]))
    following = params["following"][state]
    return following, Step(
        next_obs=STATES[following],
        reward=params["pay"][state] - params["strict"] * distance,
        terminated=params["ends"][state],
        truncated=jnp.zeros((), bool),
    )


SPECS = {
    "discrete": Spec(name="table", obs_shape=(3,), time_limit=5, num_actions=2),
    "continuous": Spec(
        name="table",
        obs_shape=(3,),
        time_limit=5,
        action_size=1,
        action_low=(-1.0,),
        action_high=(2.0,),
    ),
}


def environment(kind):
    params = WORLDS["action_by_observation"]
    return Environment(spec=SPECS[kind], params=params, reset=reset, step=step)


def train(learner, values, iterations):
    """Values [3], greedy actions [3] and metrics in each of the worlds, trained side by side.

    `values(state, actions)` are what the learner believes the greedy actions to be worth.
    """

    def one(key, physics):
        state = learner.init(key, physics)
        state, metrics = jax.lax.scan(
            lambda state, _: learner.step(state, ())[::2], state, None, iterations
        )
        policy = learner.policy(state, deterministic=True)
        actions, _ = policy.act(policy.params, STATES, key, ())
        return values(state, actions), actions.reshape(3), metrics

    physics = jax.tree.map(lambda *x: jnp.stack(x), *WORLDS.values())
    keys = jax.random.split(jax.random.key(0), len(WORLDS))
    results = jax.jit(jax.vmap(one))(keys, physics)
    return {name: take(results, jnp.int32(i)) for i, name in enumerate(WORLDS)}
