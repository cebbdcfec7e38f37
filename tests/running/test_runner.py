"""The runner in memory: chunks, lanes, and lanes that break."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from evil.running import lanes
from evil.running.runner import Frozen, Interrupted, Session, run
from evil.running.signals import Stop


class Memory:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def write(self, records: Any) -> None:
        self.records.extend(records)

    def rewind(self, phase: str, iteration: int) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def healthy(tiny):
    """The three lanes left alone, and everything they logged."""
    sink = Memory()
    return run(tiny.phase(iterations=10), Session(sinks=(sink,))), sink.records


def test_chunks_equal_a_python_loop_over_single_lanes(tiny, healthy):
    outcome, records = healthy
    phase = tiny.phase(iterations=10)
    step = jax.jit(tiny.step)
    for lane in range(3):
        data = {name: x if x.ndim == 0 else x[lane] for name, x in phase.data.items()}
        state = tiny.init(phase.keys[lane], data)
        returns = []
        for _ in range(10):
            state, metrics = step(state, data)
            returns.append(float(metrics["agent/return"]))
        np.testing.assert_allclose(outcome.states["x"][lane], state["x"], rtol=1e-6)
        assert outcome.states["count"][lane] == 10
        key_data = jax.random.key_data(outcome.states["key"][lane])
        np.testing.assert_array_equal(key_data, jax.random.key_data(state["key"]))
        logged = [r["agent/return"] for r in records if r["lane"] == lane]
        np.testing.assert_allclose(logged, returns, rtol=1e-6)
        assert outcome.last_metrics["agent/return"][lane] == logged[-1]
        assert outcome.last_metrics["agent/count"][lane] == 10


@pytest.mark.parametrize("chunk", [1, 7, 10, 64])
def test_the_size_of_chunks_does_not_change_a_bit(tiny, healthy, assert_same_bits, chunk):
    outcome = run(tiny.phase(iterations=10, chunk=chunk))
    assert_same_bits(outcome.states, healthy[0].states)
    assert outcome.iterations == 10 and outcome.frozen == ()


def test_one_lane_equals_that_lane_among_three(tiny, healthy):
    every = tiny.phase(iterations=10)
    data = {name: x if x.ndim == 0 else x[1:2] for name, x in every.data.items()}
    alone = run(dataclasses.replace(every, keys=every.keys[1:2], data=data))
    np.testing.assert_allclose(alone.states["x"][0], healthy[0].states["x"][1], rtol=1e-6)


def test_a_short_last_chunk_is_the_same_program(tiny, counted, monkeypatch):
    compiled, peak_bytes = [], lanes.peak_bytes
    monkeypatch.setattr(
        lanes, "peak_bytes", lambda program: compiled.append(program) or peak_bytes(program)
    )

    def traces(iterations: int) -> int:
        step = counted(tiny.step)
        run(tiny.phase(algorithm=tiny.algorithm(step), iterations=iterations, chunk=4))
        return step.count

    assert traces(4) == traces(10) > 0  # one chunk; two chunks and a half
    assert len(compiled) == 4  # init and advance, for each of the two runs


def test_accounts(healthy):
    outcome, records = healthy
    assert outcome.env_steps == 50
    assert outcome.wall_s > 0 and outcome.compile_s > 0
    assert outcome.env_steps_per_s == pytest.approx(3 * 50 / outcome.wall_s)
    assert [r["iteration"] for r in records if r["lane"] == 2] == list(range(1, 11))
    assert records[-1]["env_steps"] == 50 and records[-1]["phase"] == "irl"
    times = [r["wall_s"] for r in records]
    assert times == sorted(times) and times[-1] <= outcome.wall_s + 1e-3


def test_log_every_thins_the_records_but_keeps_the_last(tiny):
    sink = Memory()
    run(tiny.phase(iterations=10, log_every=3), Session(sinks=(sink,)))
    assert [r["iteration"] for r in sink.records if r["lane"] == 0] == [3, 6, 9, 10]


def test_a_broken_lane_is_frozen_where_its_chunk_began(tiny, healthy):
    sink = Memory()
    phase = tiny.phase(iterations=10, broken_metric=(tiny.NEVER, 7, tiny.NEVER))
    outcome = run(phase, Session(sinks=(sink,)))
    assert outcome.frozen == (Frozen(lane=1, iteration=7, metric="agent/return"),)
    assert outcome.iterations == 10
    np.testing.assert_array_equal(outcome.states["count"], [10, 4, 10])
    assert np.isfinite(outcome.states["x"]).all()
    # Its last good metrics are those of iteration 4; what it logged ends just before 7.
    of_lane = {r["iteration"]: r["agent/return"] for r in sink.records if r["lane"] == 1}
    assert list(of_lane) == [1, 2, 3, 4, 5, 6]
    assert outcome.last_metrics["agent/return"][1] == of_lane[4]


def test_neighbours_of_a_broken_lane_notice_nothing(tiny, healthy, assert_same_bits):
    sink = Memory()
    phase = tiny.phase(iterations=10, broken_metric=(tiny.NEVER, 7, tiny.NEVER))
    outcome = run(phase, Session(sinks=(sink,)))
    for lane in (0, 2):
        pick = lambda tree, lane=lane: jax.tree.map(lambda x: x[lane], tree)  # noqa: E731
        assert_same_bits(pick(outcome.states), pick(healthy[0].states))
        timeless = [
            [{k: v for k, v in r.items() if k != "wall_s"} for r in records if r["lane"] == lane]
            for records in (sink.records, healthy[1])
        ]
        assert timeless[0] == timeless[1]


def test_a_broken_state_is_named_when_every_metric_is_finite(tiny):
    outcome = run(tiny.phase(iterations=10, broken_state=(2, tiny.NEVER, tiny.NEVER)))
    assert outcome.frozen == (Frozen(lane=0, iteration=4, metric="state['hidden']"),)
    np.testing.assert_array_equal(outcome.states["hidden"], [1.0, 1.0, 1.0])
    assert np.isnan(outcome.last_metrics["agent/return"][0])  # no chunk of it was ever good


def test_a_run_ends_when_every_lane_is_frozen(tiny):
    outcome = run(tiny.phase(iterations=400, broken_metric=(2, 6, 6)))
    assert outcome.iterations == 8
    assert [entry.lane for entry in outcome.frozen] == [0, 1, 2]
    np.testing.assert_array_equal(outcome.states["count"], [0, 4, 4])


def test_a_stop_without_a_directory_says_that_nothing_was_saved(tiny):
    stop = Stop()
    stop.request()
    with pytest.raises(Interrupted, match="not saved") as caught:
        run(tiny.phase(), Session(stop=stop))
    assert caught.value.iteration == 0


def test_zero_iterations_is_the_initial_state(tiny):
    outcome = run(tiny.phase(iterations=0))
    np.testing.assert_array_equal(outcome.states["count"], [0, 0, 0])
