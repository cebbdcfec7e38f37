"""A search: what is asked, what runs together, what is told, and how it goes on."""

import dataclasses
import json

import numpy as np
import pytest

import plotting
from evil import environments
from evil.errors import UserError
from evil.experiments.series import search, trials
from evil.experiments.settings import algorithms, spaces
from evil.running.directory import RunDirectory
from evil.running.session import Session
from plotting import search as figures
from scripts import run_search
from tests.scripts.starting import start, summary_of

CONFIG = search.Config(
    algorithm="gmmil",
    envs=("gridworld", "pendulum"),
    num_demos=3,
    num_trials=7,
    batch=3,
    evaluations=2,
    evaluation_episodes=2,
    iterations=4,
    preset="smoke",
)


def session(path):
    return Session(directory=RunDirectory.create(path, {}))


def pretended(monkeypatch, stop_at=None):
    """Trials that are worth their discount, less on the pendulum; the calls that were made."""
    calls = []

    def areas(name, base, points, scale, session):
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        calls.append((base.env, points))
        worth = [point["algorithm.learner.discount"] for point in points]
        return np.array(worth)[:, None] - (base.env == "pendulum")

    monkeypatch.setattr(trials, "areas", areas)
    return calls


def test_batches_share_what_is_part_of_a_program(tmp_path, monkeypatch):
    calls = pretended(monkeypatch)
    found = search.study(CONFIG)(session(tmp_path / "a"))
    assert [(env, len(points)) for env, points in calls] == [
        (env, size) for size in (3, 3, 1) for env in ("gridworld", "pendulum")
    ]
    for _, points in calls:
        for static in ("algorithm.learner.warmup", "algorithm.learner.batch_size"):
            assert len({point[static] for point in points}) == 1
        discounts = {point["algorithm.learner.discount"] for point in points}
        assert len(discounts) == len(points)
        for point in points:  # one step size from first to last; no negative entropy for choices
            assert (
                point["algorithm.learner.learning_rate"]
                == (point["algorithm.learner.final_learning_rate"])
            )
            assert "algorithm.learner.target_entropy" not in point
    assert len(found["trials"]) == 7
    for trial in found["trials"]:
        discount = trial["point"]["algorithm.learner.discount"]
        assert trial["worth"] == {"gridworld": discount, "pendulum": discount - 1}
        assert trial["value"] == discount - 1  # of the worst
    assert found["best"]["value"] == max(trial["value"] for trial in found["trials"])
    assert sum(found["importance"].values()) == pytest.approx(1.0)


def test_one_size_of_batches_is_searched_for():
    specs = [environments.make("gridworld").spec]
    for name, path in (
        ("dac", "batch_size"),
        ("red", "fit_batch_size"),
        ("dril", "fit_batch_size"),
    ):
        also = spaces.of(name, specs)["algorithm.learner.batch_size"].also
        assert f"algorithm.reward.{path}" in also
    assert spaces.of("pwil", specs)["algorithm.learner.batch_size"].also == ()
    assert spaces.FIXED["bc"]["bc.validation_fraction"] == 0.0


def test_a_stopped_search_goes_on_where_it_was(tmp_path, monkeypatch):
    pretended(monkeypatch, stop_at=3)
    ready, run = search.study(CONFIG), session(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        ready(run)
    assert not (tmp_path / "a" / "summary.json").exists()
    calls = pretended(monkeypatch)
    found = ready(run)
    assert sum(len(points) for env, points in calls if env == "gridworld") == 4
    # The batch that was given up is not among the trials, but its numbers are.
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2, 6, 7, 8, 9]
    assert len(ready(run)["trials"]) == 7  # finished: nothing more is asked


def test_two_runs_share_a_database(tmp_path, monkeypatch):
    pretended(monkeypatch)
    shared = dataclasses.replace(CONFIG, storage=f"sqlite:///{tmp_path / 'shared.db'}")
    few = dataclasses.replace(shared, num_trials=3)
    assert len(search.study(few)(session(tmp_path / "a"))["trials"]) == 3
    found = search.study(dataclasses.replace(shared, seed=2))(session(tmp_path / "b"))
    assert len(found["trials"]) == 7
    assert not (tmp_path / "b" / search.DATABASE).exists()


def test_points_that_differ_in_traced_fields_run_together():
    base = algorithms.imitation("sac", "gridworld", "smoke", num_demos=3)
    path, static = "algorithm.learner.discount", "algorithm.learner.batch_size"
    points = [{path: 0.9, static: 16}, {path: 0.8, static: 32}, {path: 0.7, static: 16}]
    assert trials.groups(base, points) == [({static: 16}, [0, 2]), ({static: 32}, [1])]


def test_a_point_is_a_config():
    base = algorithms.imitation("adril", "pendulum", "quick", num_demos=3)
    rounds = "algorithm.learner.round_length"
    found = trials.at(base, {rounds: 1250, "algorithm.learner.batch_size": 128})
    assert found.algorithm.learner.round_length == 1280
    assert (found.algorithm.reward.kind, found.algorithm.learner.batch_size) == ("adril", 128)
    assert trials.at(base, {rounds: 0}).algorithm.reward.kind == "sqil"


@pytest.mark.parametrize("name", spaces.SPACES)
def test_every_space_is_one_of_fields(name):
    config = dataclasses.replace(CONFIG, algorithm=name, envs=("pendulum",), preset="quick",
                                 iterations=None)  # fmt: skip
    ready = search.study(config)
    ends = {
        path: place.values[-1] if isinstance(place, spaces.OneOf) else place.high
        for path, place in ready.space.items()
    }
    params = {
        path: json.dumps(value) if isinstance(ready.space[path], spaces.OneOf) else value
        for path, value in ends.items()
    }
    point = ready.point(params)
    assert ("algorithm.learner.target_entropy" in point) == (name != "bc")
    trials.at(ready.bases[0], point)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "search"
    start(run_search, "--algorithm", "sac", "--envs", "gridworld", "--num_demos", 3,
          "--num_trials", 2, "--batch", 2, "--evaluations", 2, "--evaluation_episodes", 3,
          "--iterations", 4, "--preset", "smoke", "--quiet", "--out", path)  # fmt: skip
    return path


def test_a_search_by_its_command(finished):
    summary = summary_of(finished)
    assert [trial["number"] for trial in summary["trials"]] == [0, 1]
    assert all(np.isfinite(trial["value"]) for trial in summary["trials"])
    assert (finished / search.DATABASE).is_file()
    assert (finished / "figures" / "search.png").is_file()
    assert not (finished / "figures" / "learning.png").exists()
    before = summary_of(finished)
    start(run_search, "--resume", finished, "--quiet")
    after = summary_of(finished)
    before.pop("peak_memory_mb"), after.pop("peak_memory_mb")
    assert after == before


def test_history_and_importance_are_drawn(tmp_path):
    (tmp_path / "config.json").write_text('{"config": {"type": "evil.experiments.series.search"}}')
    entries = [{"number": n, "value": v} for n, v in ((0, 0.2), (3, 0.1), (2, 0.5))]
    shares = {"algorithm.learner.discount": 0.7, "algorithm.learner.retention": 0.3}
    summary = {"trials": entries, "importance": shares, "env": "hopper", "algorithm": "search"}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    best = figures.history(tmp_path, entries).axes[0].get_lines()[1]
    np.testing.assert_array_equal(best.get_ydata(), [0.2, 0.5, 0.5])
    names = figures.importance(tmp_path, shares).axes[0].get_yticklabels()
    assert [name.get_text() for name in names] == ["learner.retention", "learner.discount"]
    assert [path.name for path in plotting.draw_all(tmp_path)] == ["search.png"]
    assert (tmp_path / "figures" / "search_importance.png").is_file()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"algorithm": "airl"}, "unknown algorithm with a search space 'airl'"),
        ({"num_trials": 0}, "num_trials must be at least 1"),
        ({"envs": ()}, "no environment is named"),
        ({"evaluations": 5}, "5 evaluations in 4 iterations"),
        ({"num_demos": 10_000}, "asked for 10000 demonstrations"),
    ],
)
def test_wrong_input_gets_one_sentence(changes, said):
    with pytest.raises(UserError, match=said):
        search.study(dataclasses.replace(CONFIG, **changes))


def test_a_database_that_is_none(tmp_path):
    config = dataclasses.replace(CONFIG, storage="nowhere:///x")
    with pytest.raises(UserError, match=r"--storage nowhere:///x: no database could be opened"):
        search.study(config)(session(tmp_path / "a"))
