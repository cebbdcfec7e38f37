"""Lanes that break leave a file, and the file shows the fault again."""

import dataclasses
import io
import shutil

import jax
import pytest

from evil.errors import UserError
from evil.running import faults, files, weights
from evil.running.directory import RunDirectory
from evil.running.progress import Lines
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
    # A state may break before the chunk's end, where the run noticed it.
    assert fault == faults.Fault(
        path=fault.path, phase="irl", lane=1, start=5, iteration=entry.iteration, metric=metric,
        config=files.plain(tiny.CONFIG), cuts={},
    )  # fmt: skip
    assert next(faults.again(fault, phase)) == (6, metric)


@pytest.mark.parametrize("at", [5, 6, 7, 8])
def test_what_is_stored_is_the_state_before_the_step_that_broke(tiny, directory, at):
    # Lane 2 breaks in the same chunk, elsewhere in it; lane 0 does not.
    changes = {"broken_metric": (10**6, at, 10**6), "broken_state": (10**6, 10**6, 7)}
    run(broken(tiny, **changes), Session(directory))
    for lane, step in ((1, at), (2, 7)):
        before = run(dataclasses.replace(broken(tiny), iterations=step - 1))
        stored, meta = weights.load(directory.path / "faults" / f"irl-{lane}")
        assert meta["start"] == step - 1
        assert (stored["x"] == before.states["x"][lane]).all()
        assert (stored["key"] == jax.random.key_data(before.states["key"][lane])).all()


def test_a_file_that_cannot_be_written_is_said(tiny, directory):
    (directory.path / "faults").write_text("")
    stream = io.StringIO()
    phase = broken(tiny, broken_metric=(10**6, 6, 10**6))
    assert run(phase, Session(directory, progress=Lines((), stream))).iterations == 12
    said = [line for line in stream.getvalue().splitlines() if "leaves no file" in line]
    assert (
        len(said) == 1 and said[0].startswith("irl: lane 1 leaves no file") and "faults" in said[0]
    )


def test_a_file_has_its_run_around_it_or_stands_alone(tiny, directory, tmp_path):
    run(broken(tiny, broken_metric=(10**6, 6, 10**6)), Session(directory))
    inside = directory.path / "faults" / "irl-1.safetensors"
    with faults.read(inside).directory() as around:
        assert around == directory
    other = RunDirectory.create(tmp_path / "other", {"algorithm": "another"})
    for folder in (tmp_path, other.path / "faults"):
        folder.mkdir(exist_ok=True)
        alone = faults.read(shutil.copy(inside, folder))
        with alone.directory() as made:
            assert made.path not in (directory.path, other.path)
            assert made.read_config() == files.plain(tiny.CONFIG)
            faults.seek(alone, broken(tiny, name="bc"))  # may be run again
        assert not made.path.exists()


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
    meta = {
        "phase": "irl", "lane": 1, "start": 7, "iteration": 3, "metric": "x", "config": {},
        "cuts": {},
    }  # fmt: skip
    path = weights.save(tmp_path / "fault", {"x": jax.numpy.ones(2)}, meta)
    with pytest.raises(UserError, match="iterations in order, found 7 to 3"):
        faults.read(path)
    path = weights.save(tmp_path / "fault", {"x": jax.numpy.ones(2)}, meta | {"iteration": 8})
    with pytest.raises(UserError, match="lacks the array"):
        next(faults.again(faults.read(path), broken(tiny)))
