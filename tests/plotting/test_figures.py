import itertools
import json
import subprocess
import sys
from pathlib import Path

import matplotlib.colors
import numpy as np
import pytest

import plotting
from plotting import arrows, gap, landmark, landscape, learning, maps, rounds, runs, style
from tests.limits import full_disk

SUMMARY = {
    "env": "hopper",
    "backend": "positional",
    "algorithm": "irl",
    "expert_return": {"mean": 30.0, "per_seed": [29.0, 31.0]},
    "bc_return": 12.0,
    "random_return": None,
}


def record(phase, iteration, lane, **metrics):
    coordinates = {"iteration": iteration, "env_steps": 100 * (iteration + 1), "wall_s": 1.0}
    return {"phase": phase, **coordinates, "lane": lane, **metrics}


@pytest.fixture
def run(tmp_path):
    """Two seeds: inverse RL returns 10 i + lane, its gap 3 - i; retraining returns 5 i."""
    logged = []
    for lane in (0, 1):
        for i in range(3):
            metrics = {
                "agent/return": 10.0 * i + lane,
                "reward/gap": 3.0 - i,
                "reward/expert_mean": 4.0,
                "reward/agent_mean": 1.0 + i,
            }
            logged.append(record("irl", i, lane, **metrics))
            logged.append(record("retrain", i, lane, **{"agent/return": 5.0 * i}))
    logged.append({"phase": "bc", "iteration": 9, "env_steps": 0, "lane": 0, "agent/return": 12.0})
    write_metrics(tmp_path, logged)
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
    generator = np.random.default_rng(0)
    x = generator.uniform(size=400)
    np.savez(
        tmp_path / "landmark.npz",
        expert_x=x,
        expert_reward=2.0 * x,
        agent_x=np.append(x, np.nan),
        agent_reward=np.append(-x, 0.0),
        label=np.array("forward velocity"),
    )
    return tmp_path


def write_metrics(run, logged):
    lines = "".join(json.dumps(entry) + "\n" for entry in logged)
    (run / "metrics.jsonl").write_text(lines)


def line(axes, label):
    (found,) = [entry for entry in axes.get_lines() if entry.get_label() == label]
    return found


def assert_line(axes, label, x, y, role):
    found = line(axes, label)
    np.testing.assert_allclose(found.get_xdata(), x)
    np.testing.assert_allclose(found.get_ydata(), y)
    assert matplotlib.colors.same_color(found.get_color(), style.COLOURS[role])


def test_every_figure_whose_data_exist_is_drawn(run):
    paths = plotting.draw_all(run)
    assert paths == [run / "figures" / f"{name}.png" for name in ("learning", "gap", "landmark")]
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")
    (run / "landmark.npz").unlink()
    write_metrics(run, [record("rl", 0, 0, **{"agent/return": 1.0})])
    assert plotting.draw_all(run) == [run / "figures" / "learning.png"]


def test_learning_shows_mean_band_and_references(run):
    (axes,) = learning.figure(run).axes
    assert_line(axes, "IRL", [100, 200, 300], [0.5, 10.5, 20.5], "irl")
    assert_line(axes, "retrained from scratch", [100, 200, 300], [0, 5, 10], "retrain")
    band = axes.collections[0].get_datalim(axes.transData)
    assert (band.y0, band.y1) == (0.0, 21.0)  # two seeds: from the smaller to the larger
    assert_line(axes, "_expert", [0, 1], [30, 30], "expert")
    assert_line(axes, "_bc", [0, 1], [12, 12], "bc")
    assert len(axes.get_lines()) == 4  # random is null, and cloning takes no environment steps
    assert {text.get_text() for text in axes.texts} == {
        "expert  30",
        "behavioural cloning  12",
    }


def test_rounds_end_with_the_final_evaluation(tmp_path):
    # A record tells what its round began with: seed k returns 10 i + k after i rounds.
    logged = [
        record(phase, i + 1, lane, **{"agent/return": scale * i + lane})
        for phase, scale in (("dagger", 10.0), ("online_bc", 5.0))
        for i in range(3)
        for lane in (0, 1)
    ]
    write_metrics(tmp_path, logged)
    (axes,) = rounds.figure(tmp_path).axes
    assert_line(axes, "DAgger", [0, 1, 2], [0.5, 10.5, 20.5], "dagger")
    finals = {"final_return": {"per_seed": [30.0, 40.0]}, "online_bc_return": {"per_seed": [3.0]}}
    (tmp_path / "summary.json").write_text(json.dumps({"expert_return": 36.0} | finals))
    (axes,) = rounds.figure(tmp_path).axes
    assert_line(axes, "DAgger", [0, 1, 2, 3], [0.5, 10.5, 20.5, 35.0], "dagger")
    assert_line(axes, "online cloning", [0, 1, 2], [0.5, 5.5, 10.5], "online_bc")
    assert_line(axes, "_expert", [0, 1], [36, 36], "expert")
    write_metrics(tmp_path, [record("irl", 0, 0, **{"agent/return": 1.0})])
    with pytest.raises(runs.NoData, match="no phase dagger"):
        rounds.figure(tmp_path)


def test_labels_of_references_do_not_overlap(run):
    close = SUMMARY | {"bc_return": 29.9, "random_return": 29.8}
    (run / "summary.json").write_text(json.dumps(close))
    figure = learning.figure(run)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert len(boxes) == 3
    assert all(lower.y1 <= upper.y0 + 1 for lower, upper in itertools.pairwise(boxes))
    names = [text.get_text().split("  ")[0] for text in axes.texts]
    assert names == ["random", "behavioural cloning", "expert"]  # from below, as they rank
    heights = [text.xy[1] for text in axes.texts]
    np.testing.assert_allclose(np.mean(heights), 29.9)  # moved apart, not away


def test_gap_shows_the_means_it_lies_between(run):
    upper, lower = gap.figure(run).axes
    assert_line(upper, "expert", [100, 200, 300], [4, 4, 4], "expert")
    assert_line(upper, "learner", [100, 200, 300], [1, 2, 3], "irl")
    assert_line(lower, "inverse RL", [100, 200, 300], [3, 2, 1], "irl")


def test_gap_alone_has_one_panel(run):
    write_metrics(run, [record("irl", i, 0, **{"reward/gap": 1.0}) for i in range(2)])
    assert len(gap.figure(run).axes) == 1


def test_landmark_shows_correlation_and_binned_mean(run):
    expert, agent = landmark.figure(run).axes
    assert expert.get_title(loc="left") == "expert: correlation +1.00"
    assert agent.get_title(loc="left") == "agent: correlation -1.00"
    assert expert.get_xlabel() == "forward velocity"
    mean = line(expert, "mean")
    width = 1 / landmark.NUM_BINS
    np.testing.assert_allclose(mean.get_ydata(), 2 * mean.get_xdata(), atol=width)
    assert len(expert.collections[0].get_offsets()) == 400  # few enough to be shown one by one


def test_many_points_are_shown_as_a_density(run, monkeypatch):
    monkeypatch.setattr(landmark, "MAX_SCATTER", 100)
    expert, _ = landmark.figure(run).axes
    density = expert.collections[0]
    assert density.get_array().sum() == 400


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([1, 2, 3], [2, 4, 7], 5 / np.sqrt(2 * 38 / 3)),  # Σ dx dy = 5, Σ dx² = 2, Σ dy² = 38/3
        ([1, 1, 1], [2, 4, 7], np.nan),
        ([1], [2], np.nan),
    ],
)
def test_pearson(x, y, expected):
    np.testing.assert_allclose(landmark.pearson(np.array(x), np.array(y)), expected)


def test_a_curve_ignores_what_is_not_finite_and_keeps_the_last_of_repeated_steps():
    logged = [
        record("irl", 0, 0, gap=1.0),
        record("irl", 0, 0, gap=3.0),  # logged again after a resume
        record("irl", 0, 1, gap=None),
        record("irl", 1, 1, gap=5.0),
        record("rl", 1, 0, gap=9.0),
        record("irl", 2, 0, gap=float("nan")),
    ]
    found = runs.curve(logged, "irl", "gap")
    np.testing.assert_array_equal(found.steps, [100, 200])
    np.testing.assert_array_equal(found.values, [[3.0, np.nan], [np.nan, 5.0]])
    np.testing.assert_array_equal(found.mean, [3.0, 5.0])
    assert runs.curve(logged, "irl", "return") is None


@pytest.mark.parametrize(
    ("lanes", "expected"),
    [
        ([1, 1], "one seed"),
        ([2, 2], "mean of 2 seeds, range shaded"),
        ([1, 5], "interquartile mean of 1 to 5 seeds, 95 % bootstrap interval shaded"),
    ],
)
def test_a_subtitle_says_how_many_seeds_there_are(lanes, expected):
    curves = [runs.Curve(steps=np.array([1]), values=np.zeros((1, n))) for n in lanes]
    assert runs.spread(curves) == expected


def test_four_seeds_have_an_interval_of_their_interquartile_mean():
    values = np.array([[0.0, 1.0, 2.0, 9.0], [0.0, 0.0, 1.0, 1.0], [5.0, 5.0, 5.0, 5.0]])
    found = runs.Curve(steps=np.arange(3), values=values)
    np.testing.assert_array_equal(found.mean, [1.5, 0.5, 5.0])
    low, high = found.band
    # Of four draws from two values at least three are equal, and the mean that value, with 5/16.
    assert (low[1], high[1]) == (0.0, 1.0)
    assert (low[2], high[2]) == (5.0, 5.0)
    assert low[0] < 1.5 < high[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2, 2.0),
        ({"mean": 1.5, "per_seed": [1, 2]}, 1.5),
        (None, None),
        ({"mean": None}, None),
        (True, None),
        (float("inf"), None),
        ("3", None),
    ],
)
def test_numbers_of_a_summary(value, expected):
    assert runs.number(value) == expected


def test_a_line_that_is_being_written_is_left_out_and_a_broken_one_is_not(run):
    path = run / "metrics.jsonl"
    whole = path.read_text()
    path.write_text(whole + '{"phase": "irl", "iter')
    assert len(runs.records(run)) == 13
    path.write_text("nonsense\n" + whole)
    with pytest.raises(plotting.NoData, match="line 1 is not JSON"):
        runs.records(run)


def test_what_is_missing_is_named(run, tmp_path):
    write_metrics(run, [record("retrain", 0, 0, loss=1.0)])
    with pytest.raises(plotting.NoData, match="no phase logged agent/return"):
        learning.draw(run)
    with pytest.raises(plotting.NoData, match="phase irl logged no reward/gap"):
        gap.draw(run)
    np.savez(run / "landmark.npz", expert_x=np.zeros(2))
    with pytest.raises(plotting.NoData, match="not the arrays of a landmark"):
        landmark.draw(run)
    assert plotting.draw_all(run) == []
    with pytest.raises(plotting.NoData, match="no such run directory"):
        plotting.draw_all(tmp_path / "absent")


def test_pickled_landmarks_are_not_loaded(run):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    bomb = np.array([Bomb()], dtype=object)
    names = ("expert_x", "expert_reward", "agent_x", "agent_reward", "label")
    np.savez(run / "landmark.npz", **dict.fromkeys(names, bomb))
    with pytest.raises(plotting.NoData, match="landmark"):
        landmark.draw(run)


def test_the_command_prints_what_it_drew(run, tmp_path):
    command = [sys.executable, "-m", "plotting"]
    options = {"capture_output": True, "text": True, "cwd": Path(plotting.__file__).parents[1]}
    drawn = subprocess.run([*command, str(run)], check=True, **options)
    figures = {str(path) for path in run.glob("figures/*.png")}
    assert len(figures) == 3 and set(drawn.stdout.split()) == figures
    failed = subprocess.run([*command, str(tmp_path / "absent")], check=False, **options)
    assert failed.returncode == 2
    assert "no such run directory" in failed.stderr and "Traceback" not in failed.stderr


def test_the_landscape_is_drawn_with_walls(run):
    maps = np.arange(25.0).reshape(5, 5)
    maps[2, 2] = np.nan
    np.savez(run / "landscape.npz", potential=maps, value=-maps)
    drawn = landscape.figure(run)
    shown = [len(axes.texts) for axes in drawn.axes[:2]]
    assert shown == [24, 24]
    assert landscape.draw(run).is_file()


def test_a_landscape_without_its_maps_says_so(run):
    np.savez(run / "landscape.npz", value=np.zeros((5, 5)))
    with pytest.raises(plotting.NoData, match="not the arrays of a landscape"):
        landscape.figure(run)


@pytest.fixture
def world(run):
    """Two rows of three cells; the last one is the end."""
    reward = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, 10.0]])
    np.savez(
        run / "maps.npz",
        true_reward=reward,
        recovered_reward=2 * reward,
        value=reward + 1,
        learned_visits=np.ones((2, 3)),
        demonstrated_visits=np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]),
        action=np.array([[1, 1, 0], [1, 1, 0]]),
        moves=np.array([[1, 0], [0, 1]]),
        end=reward == 10.0,
    )
    return run


def test_a_finite_world_is_drawn_beside_what_was_recovered(world):
    panels = [axes.get_images()[0] for axes in maps.figure(world).axes[:4]]
    reward = np.load(world / "maps.npz")["true_reward"]
    np.testing.assert_array_equal(panels[0].get_array(), reward)
    np.testing.assert_array_equal(panels[1].get_array(), 2 * reward)
    np.testing.assert_array_equal(panels[3].get_array(), [[0, 1, 0], [0, 0, 1]])
    assert maps.draw(world).is_file()


def test_arrows_point_where_actions_go(world):
    (axes,) = arrows.figure(world).axes
    dark, pale = (found for found in axes.collections if hasattr(found, "U"))
    # Dark: (0,0) and (1,0), (1,1) go right, (0,2) down. Pale: (0,1), where nobody was.
    np.testing.assert_allclose(dark.U, [0.8, 0.0, 0.8, 0.8])
    np.testing.assert_allclose(dark.V, [0.0, 0.8, 0.0, 0.0])
    np.testing.assert_allclose([pale.U, pale.V], [[0.8], [0.0]])
    assert arrows.draw(world).is_file()


def test_a_run_without_maps_says_so(run):
    with pytest.raises(plotting.NoData, match=r"maps\.npz: no such file"):
        maps.figure(run)


def test_a_figure_is_written_whole_or_not_at_all(run):
    before = learning.draw(run).read_bytes()
    with full_disk(), pytest.raises(OSError, match="File too large"):
        learning.draw(run)
    (left,) = (run / "figures").iterdir()
    assert left.read_bytes() == before
