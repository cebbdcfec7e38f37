"""Lanes that do not fit into memory at once: cut up, they come to the same."""

import jax
import numpy as np
import pytest

from evil.errors import UserError
from evil.running import lanes, memory, parts
from evil.running.directory import RunDirectory
from evil.running.runner import Session, run


@pytest.fixture(scope="module")
def whole(tiny):
    """Three lanes at once, of which the last breaks in iteration 4."""
    return run(phase(tiny))


def phase(tiny):
    return tiny.phase(iterations=6, broken_metric=(tiny.NEVER, tiny.NEVER, 4))


def same(ours, theirs):
    np.testing.assert_array_equal(ours.states["x"], theirs.states["x"])
    np.testing.assert_array_equal(ours.states["count"], theirs.states["count"])
    keys = [jax.random.key_data(found.states["key"]) for found in (ours, theirs)]
    np.testing.assert_array_equal(*keys)


def test_parts_come_to_the_same_bits_by_one_program(tiny, whole, monkeypatch):
    compiled = []
    compile_phase = lanes.compile_phase
    monkeypatch.setattr(
        lanes, "compile_phase", lambda phase: compiled.append(phase.lanes) or compile_phase(phase)
    )
    cut = parts.cut(phase(tiny), Session(), lanes_per_program=2)
    assert [part.lanes for part in cut.phases] == [2, 2]  # the last lane twice
    found = cut.run(Session())
    assert compiled == [2]
    same(found, whole)
    assert found.frozen == whole.frozen and found.frozen[0].lane == 2
    assert found.last_metrics["agent/return"].shape == (3,)
    assert found.env_steps == whole.env_steps
    assert [cut.place(lane) for lane in range(3)] == [
        ("irl-part-0", 0), ("irl-part-0", 1), ("irl-part-1", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(("bytes_", "sizes"), [(2**40, [3]), (1, [1, 1, 1])])
def test_as_many_lanes_as_fit(tiny, bytes_, sizes):
    cut = parts.cut(phase(tiny), Session(), free=lambda: bytes_)
    assert [part.lanes for part in cut.phases] == sizes


def test_less_memory_means_fewer_lanes(tiny):
    needed = lanes.compile_phase(phase(tiny)).peak_bytes
    assert needed > 0
    cut = parts.cut(phase(tiny), Session(), free=lambda: int(0.8 * needed / parts.SHARE))
    assert [part.lanes for part in cut.phases] == [2, 2]


def test_a_resumed_run_is_cut_as_it_was(tiny, whole, tmp_path):
    session = Session(directory=RunDirectory.create(tmp_path / "run", tiny.CONFIG))
    first = parts.cut(phase(tiny), session, free=lambda: 1)
    assert len(first.phases) == 3
    run(first.phases[0], session, first.programs)  # and stopped there
    again = parts.cut(phase(tiny), session, free=lambda: 2**40)
    assert [part.lanes for part in again.phases] == [1, 1, 1]
    same(again.run(session), whole)


@pytest.mark.parametrize("size", ['"x"', "null", "[1]", "-1", "true"])
def test_a_size_that_is_none_is_refused(tiny, tmp_path, size):
    directory = RunDirectory.create(tmp_path / "run", tiny.CONFIG)
    directory.cuts.write_text(f'{{"irl": {size}}}')
    with pytest.raises(UserError, match="expected a number of lanes for irl"):
        parts.cut(phase(tiny), Session(directory=directory))


def test_no_lanes_are_refused(tiny):
    with pytest.raises(UserError, match="lanes_per_program must be at least 0, found -1"):
        parts.cut(phase(tiny), Session(), lanes_per_program=-1)


def test_there_is_memory():
    assert 2**20 < memory.free_bytes() < 2**50
