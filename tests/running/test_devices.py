"""Lanes spread over devices: the same numbers, and every device at work."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from evil.running import lanes
from evil.running.runner import Session, run

NEVER = {"broken_metric": (10**6,) * 4, "broken_state": (10**6,) * 4}


@pytest.fixture
def one_device(monkeypatch):
    monkeypatch.setattr(lanes.jax, "local_devices", lambda: jax.devices()[:1])


def states_of(phase):
    states = run(phase, Session()).states
    return jax.tree.map(
        lambda x: (
            jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        ),
        states,
    )


def test_there_are_two_devices_to_test_with():
    assert len(jax.local_devices()) == 2


def test_lanes_do_not_depend_on_the_number_of_devices(tiny, request):
    phase = tiny.phase(keys=jax.random.split(jax.random.key(7), 4), iterations=7, **NEVER)
    spread = states_of(phase)
    used = {shard.device for shard in jax.tree.leaves(spread)[0].addressable_shards}
    request.getfixturevalue("one_device")
    together = states_of(phase)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), spread, together)
    assert len(used) == 2


def test_lanes_that_do_not_divide_stay_on_one_device(tiny):
    states = run(tiny.phase(iterations=2), Session()).states
    assert len(jax.tree.leaves(states)[0].devices()) == 1
