"""Work begun ahead: its results, its order, its failures; programs that another phase runs."""

from __future__ import annotations

import dataclasses
import threading

import jax
import pytest

from evil.running import ahead, lanes
from evil.running.runner import Session, run


def test_jobs_are_done_in_order_and_fail_alone():
    done = []

    def fail():
        raise RuntimeError("no such step")

    begin, first, second, third = ahead.prepare(
        lambda: done.append(1), fail, lambda: done.append(3) or 4
    )
    begin()
    assert third() == 4
    begin()
    assert first() is None
    assert done == [1, 3]
    with pytest.raises(RuntimeError, match="no such step"):
        second()


def test_jobs_begin_when_they_are_told_to_and_not_before():
    begun = threading.Event()
    begin, result = ahead.prepare(begun.set)
    assert not begun.wait(0.05)
    begin()
    assert begun.wait(10.0) and result() is None


def test_a_job_that_is_asked_for_does_not_wait_for_those_before_it():
    done = []
    jobs = [lambda index=index: done.append(index) or index for index in range(3)]
    begin, first, second, third = ahead.prepare(*jobs)
    assert second() == 1 and third() == 2 and done == [1, 2]
    assert first() == 0 and done == [1, 2, 0]
    begin()
    assert done == [1, 2, 0]


def test_a_run_with_programs_compiles_nothing_and_is_the_same(tiny, monkeypatch, assert_same_bits):
    phase = tiny.phase(iterations=5)
    alone = run(phase, Session())
    blank = dataclasses.replace(phase, data=jax.tree.map(jax.numpy.zeros_like, phase.data))
    _, programs = ahead.prepare(lambda: lanes.compile_phase(blank))
    programs()
    monkeypatch.setattr(lanes, "compile_phase", None)
    outcome = run(phase, Session(), lambda begins: programs())
    assert_same_bits(outcome.states, alone.states)
    assert outcome.compile_s == programs().seconds > 0
