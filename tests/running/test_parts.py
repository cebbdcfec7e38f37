"""Lanes that do not fit into memory at once: cut up, they come to the same."""

import dataclasses

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
        lanes,
        "compile_phase",
        lambda phase, begins: compiled.append(phase.lanes) or compile_phase(phase, begins),
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


def test_what_was_predicted_is_known_whatever_decides_the_size(tiny, tmp_path):
    session = Session(directory=RunDirectory.create(tmp_path / "run", tiny.CONFIG))
    first = parts.cut(phase(tiny), session, lanes_per_program=2)
    assert first.predicted_memory_mb > 0
    again = parts.cut(phase(tiny), session, lanes_per_program=2)
    assert again.predicted_memory_mb == first.predicted_memory_mb


def test_a_session_claims_no_more_than_its_share(tiny):
    session = Session(memory_limit=1)
    cut = parts.cut(phase(tiny), session, free=lambda: 2**40)
    assert [part.lanes for part in cut.phases] == [1, 1, 1]


def exhausted(monkeypatch, name, most, after=0):
    """Programs whose `name` fits `most` lanes, from call number `after` on."""
    compile_phase, calls = lanes.compile_phase, []

    def compiled(phase, begins):
        programs = compile_phase(phase, begins)

        def greedy(*arguments):
            calls.append(phase.lanes)
            if phase.lanes > most and len(calls) > after:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
            return getattr(programs, name)(*arguments)

        return dataclasses.replace(programs, **{name: greedy})

    monkeypatch.setattr(lanes, "compile_phase", compiled)
    return calls


@pytest.mark.parametrize("name", ["init", "advance"])
def test_lanes_that_do_not_fit_after_all_are_begun_anew_by_halves(
    tiny, whole, tmp_path, monkeypatch, name
):
    session = Session(directory=RunDirectory.create(tmp_path / "run", tiny.CONFIG))
    calls = exhausted(monkeypatch, name, most=2)
    cut, found = parts.run(phase(tiny), session)
    assert calls[0] == 3 and set(calls[1:]) == {2}
    assert [part.name for part in cut.phases] == ["irl-part-0", "irl-part-1"]
    same(found, whole)
    again, found = parts.run(phase(tiny), session)  # resumed, nothing is tried again
    assert [part.lanes for part in again.phases] == [2, 2]
    same(found, whole)


def test_what_is_under_way_is_kept_and_one_sentence_says_so(tiny, whole, tmp_path, monkeypatch):
    session = Session(directory=RunDirectory.create(tmp_path / "run", tiny.CONFIG))
    with monkeypatch.context() as patch:
        exhausted(patch, "advance", most=2, after=1)
        with pytest.raises(UserError, match=r"after iteration 4 .* 3 lanes: .*--lanes_per_program"):
            parts.run(phase(tiny), session)
    assert list((session.directory.checkpoints / "irl").glob("4"))
    cut, found = parts.run(phase(tiny), session)
    assert len(cut.phases) == 1
    same(found, whole)


def test_a_single_lane_that_does_not_fit_is_refused(tiny, monkeypatch):
    exhausted(monkeypatch, "init", most=0)
    with pytest.raises(UserError, match=r"after iteration 0 .* a single lane"):
        parts.run(phase(tiny), Session())


def test_another_fault_of_the_device_stays_what_it_is(tiny, monkeypatch):
    def fail(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: broken")

    monkeypatch.setattr(lanes, "compile_phase", lambda *_: lanes.Programs(fail, fail, 0.0, 0))
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        parts.run(phase(tiny), Session())


def test_what_cannot_be_cut_up_is_refused_before_it_runs(tiny):
    needed = 3 * 2**20
    needy = lambda _: lanes.Programs(lambda *_: None, lambda *_: None, 0.0, needed)  # noqa: E731
    said = "irl: 3 lanes at once take 3 MiB, with 2 MiB free: expected fewer --num_seeds"
    with pytest.raises(UserError, match=said):
        parts.all_at_once(phase(tiny), needy, free=lambda: 2 * 2**20)(True)
    assert parts.all_at_once(phase(tiny), needy, free=lambda: needed)(True).peak_bytes == needed
    single = dataclasses.replace(phase(tiny), keys=jax.random.split(jax.random.key(0), 1))
    assert parts.all_at_once(single, needy, free=lambda: 0)(True).peak_bytes == needed


def test_what_the_compiler_refuses_is_refused_in_one_sentence(tiny):
    def compile_(begins):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Used 3G of 2G")

    with pytest.raises(UserError, match="3 lanes at once take more memory than there is"):
        parts.all_at_once(phase(tiny), compile_)(True)
    single = dataclasses.replace(phase(tiny), keys=jax.random.split(jax.random.key(0), 1))
    with pytest.raises(UserError, match="memory did not suffice for a single lane"):
        parts.all_at_once(single, compile_)(True)


def test_a_phase_that_goes_on_traces_its_first_states_only_when_asked(tiny, counted):
    known = phase(tiny)
    init = counted(tiny.init)
    algorithm = dataclasses.replace(known.algorithm, init=init)
    later = dataclasses.replace(known, algorithm=algorithm)
    assert later.states and init.count == 1  # for their shapes
    programs = lanes.compile_phase(later, begins=False)
    assert init.count == 1
    found, expected = programs.init(later.keys, later.data), known.init(known.keys, known.data)
    assert init.count == 2  # by a shard of the lanes
    np.testing.assert_array_equal(found["x"], expected["x"])


def test_the_peak_is_that_of_the_hungrier_program(tiny, monkeypatch):
    def peak(sizes, begins=True):
        left = iter(sizes)
        monkeypatch.setattr(lanes, "peak_bytes", lambda _: next(left))
        return lanes.compile_phase(phase(tiny), begins).peak_bytes

    ones = peak((1, 1))  # on each of the devices that share the host's memory
    assert peak((1, 2)) == peak((2, 1)) == 2 * ones
    assert peak((7,), begins=False) == 7 * ones


ENTRIES = ("3", "null", "{}", "[1]", '{"lanes": 3}', '{"lanes": -1, "predicted_memory_mb": 1.0}',
           '{"lanes": "x", "predicted_memory_mb": 1.0}')  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_size_that_is_none_is_refused(tiny, tmp_path, entry):
    directory = RunDirectory.create(tmp_path / "run", tiny.CONFIG)
    directory.cuts.write_text(f'{{"irl": {entry}}}')
    with pytest.raises(UserError, match="expected lanes and predicted_memory_mb of irl"):
        parts.cut(phase(tiny), Session(directory=directory))


def test_no_lanes_are_refused(tiny):
    with pytest.raises(UserError, match="lanes_per_program must be at least 0, found -1"):
        parts.cut(phase(tiny), Session(), lanes_per_program=-1)


def test_there_is_memory():
    assert 2**20 < memory.free_bytes() < 2**50
