"""Work begun ahead: its results, its order, its failures; programs that another phase runs."""

from __future__ import annotations

import dataclasses

import jax
import pytest

from evil.running import ahead, lanes
from evil.running.runner import Session, run


def test_jobs_are_done_in_order_and_fail_alone():
    done = []

    def fail():
        raise RuntimeError("no such step")

    first, second, third = ahead.begin(lambda: done.append(1), fail, lambda: done.append(3) or 4)
    assert third() == 4
    assert done == [1, 3]
    assert first() is None
    with pytest.raises(RuntimeError, match="no such step"):
        second()


def test_a_run_with_programs_compiles_nothing_and_is_the_same(tiny, monkeypatch, assert_same_bits):
    phase = tiny.phase(iterations=5)
    alone = run(phase, Session())
    blank = dataclasses.replace(phase, data=jax.tree.map(jax.numpy.zeros_like, phase.data))
    (programs,) = ahead.begin(lambda: lanes.compile_phase(blank))
    programs()
    monkeypatch.setattr(lanes, "compile_phase", None)
    outcome = run(phase, Session(), programs)
    assert_same_bits(outcome.states, alone.states)
    assert outcome.compile_s == programs().seconds > 0
