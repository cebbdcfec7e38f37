"""Lanes that break leave a file, and the file shows the fault again."""

import dataclasses

import jax
import pytest

from evil.errors import UserError
from evil.running import faults, weights
from evil.running.directory import RunDirectory
from evil.running.runner import Session, run


def broken(tiny, **changes):
    return tiny.phase(iterations=12, **changes)


@pytest.fixture
def directory(tiny, tmp_path):
    return RunDirectory.create(tmp_path / "run", tiny.CONFIG)


@pytest.mark.parametrize(
    ("changes", "metric"),
    [
        ({"broken_metric": (10**6, 6, 10**6)}, "agent/return"),
        ({"broken_state": (10**6, 6, 10**6)}, "state['hidden']"),
    ],
)
def test_a_broken_lane_can_be_seen_again(tiny, directory, changes, metric):
    phase = broken(tiny, **changes)
    (entry,) = run(phase, Session(directory)).frozen
    fault = faults.read(directory.path / "faults" / "irl-1.safetensors")
    assert fault == faults.Fault(
        path=fault.path, phase="irl", lane=1, start=4, iteration=entry.iteration, metric=metric
    )
    seen = list(faults.again(fault, phase))
    # A state may break before the chunk's end, where the run noticed it.
    assert seen[0] == (5, "") and seen[1] == (6, metric)


def test_what_is_stored_is_the_state_before_the_chunk(tiny, directory):
    run(broken(tiny, broken_metric=(10**6, 6, 10**6)), Session(directory))
    four = run(dataclasses.replace(broken(tiny), iterations=4))
    stored, _ = weights.load(directory.path / "faults" / "irl-1")
    assert (stored["x"] == four.states["x"][1]).all()
    assert (stored["key"] == jax.random.key_data(four.states["key"][1])).all()


def test_healthy_runs_leave_nothing(tiny, directory):
    run(broken(tiny), Session(directory))
    assert not (directory.path / "faults").exists()


def test_the_phase_is_sought_behind_finished_ones_only(tiny, directory):
    run(broken(tiny, broken_metric=(10**6, 6, 10**6)), Session(directory))
    fault = faults.read(directory.path / "faults" / "irl-1.safetensors")
    with pytest.raises(faults.Found) as found:
        run(broken(tiny), Session(directory, watch=lambda phase: faults.seek(fault, phase)))
    assert found.value.phase.name == "irl"
    later = dataclasses.replace(fault, phase="retrain")
    faults.seek(later, broken(tiny))  # irl is finished
    with pytest.raises(UserError, match="has not finished its phase bc, on which retrain rests"):
        faults.seek(later, broken(tiny, name="bc"))


def test_where_many_lanes_break_a_few_files_do(tiny, directory):
    lanes = faults.MOST + 2
    changes = {"broken_metric": (1,) * lanes, "broken_state": (10**6,) * lanes}
    phase = broken(tiny, keys=jax.random.split(jax.random.key(0), lanes), **changes)
    assert len(run(phase, Session(directory)).frozen) == lanes
    assert len(list((directory.path / "faults").glob("*.safetensors"))) == faults.MOST


def test_other_files_are_refused(tiny, tmp_path):
    path = weights.save(tmp_path / "policy", {"x": jax.numpy.ones(2)}, {"kind": "policy"})
    with pytest.raises(UserError, match="not the file of a lane that broke"):
        faults.read(path)
    meta = {"phase": "irl", "lane": 1, "start": 7, "iteration": 3, "metric": "x"}
    path = weights.save(tmp_path / "fault", {"x": jax.numpy.ones(2)}, meta)
    with pytest.raises(UserError, match="iterations in order, found 7 to 3"):
        faults.read(path)
    path = weights.save(tmp_path / "fault", {"x": jax.numpy.ones(2)}, meta | {"iteration": 8})
    with pytest.raises(UserError, match="lacks the array"):
        next(faults.again(faults.read(path), broken(tiny)))
