"""scripts/run_evil.py: a run directory that keeps the contract, and what it refuses."""

import json

import numpy as np
import pytest

from evil.errors import UserError
from evil.experiments.shared import artefacts
from scripts import run_evil
from tests.scripts.starting import start, summary_of

CONTRACT = {
    "env", "backend", "algorithm", "seeds", "expert_return", "random_return", "env_steps",
    "wall_s", "compile_s", "env_steps_per_s", "peak_memory_mb", "final_return",
    "unshaped_area_under_curve", "shaped_area_under_curve", "critic_area_under_curve",
    "expert_critic_area_under_curve", "bc_return", "rank_correlation_with_value",
}  # fmt: skip


@pytest.fixture(scope="module")
def shaped(tmp_path_factory):
    path = tmp_path_factory.mktemp("evil") / "run"
    given = ["--env", "gridworld", "--preset", "smoke", "--real", "--num_seeds", 2]
    start(run_evil, *given, "--out", path)
    return path, summary_of(path)


def test_the_run_directory_keeps_the_contract(shaped):
    path, summary = shaped
    assert summary.keys() >= CONTRACT
    assert (summary["env"], summary["algorithm"]) == ("gridworld", "evil")
    logged = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    phases = {record["phase"] for record in logged}
    assert phases == {"guide", "evolve", "unshaped", "shaped", "critic", "expert_critic", "bc"}
    for name in ("learning", "evolution", "landscape"):
        assert (path / "figures" / f"{name}.png").is_file()


def test_areas_are_those_of_the_curves(shaped):
    path, summary = shaped
    logged = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    for name in ("unshaped", "shaped", "critic", "expert_critic"):
        area = summary[f"{name}_area_under_curve"]
        for lane, found in enumerate(area["per_seed"]):
            curve = [
                record["agent/return"]
                for record in logged
                if (record["phase"], record["lane"]) == (name, lane) and record["agent/length"] > 0
            ]
            np.testing.assert_allclose(found, np.mean(curve), rtol=1e-5)


def test_all_kinds_begin_alike(shaped):
    path, _ = shaped
    logged = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    first = {
        record["phase"]: record["agent/return"]
        for record in logged
        if (record["iteration"], record["lane"]) == (1, 0) and "agent/return" in record
    }
    assert first["unshaped"] == first["shaped"] == first["critic"]  # same seeds, same networks


def test_the_potential_can_be_read(shaped):
    path, _ = shaped
    env, bound, params = artefacts.load_potential(path / "reward" / "potential-0.safetensors")
    assert env.spec.name == "gridworld"
    assert params["mean"].shape == (5,) and params["discount"] == np.float32(0.99)
    assert bound.score.memory(3) == ()


def test_a_finished_run_can_be_resumed(shaped):
    path, summary = shaped
    start(run_evil, "--resume", path)
    again = summary_of(path)
    assert again["shaped_area_under_curve"] == summary["shaped_area_under_curve"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "either --real or --reward_filename"),
        (["--real", "--reward_filename", "x"], "either --real or --reward_filename"),
        (["--reward_filename", "nowhere"], "nowhere"),
        (["--real", "--algorithm.strategy.population", "7"], "an even population"),
        (["--real", "--init", "critic", "--algorithm.potential.hidden", "8"], "found \\(8,\\)"),
        (["--real", "--algorithm.inner_iterations", "0"], "iterations"),
        (["--real", "--robust"], "inner_seeds above 1, found 1"),
    ],
)
def test_wrong_input_is_refused(options, message, tmp_path):
    out = tmp_path / "run"
    given = ["--env", "gridworld", "--preset", "smoke", "--out", out, *options]
    with pytest.raises(UserError, match=message):
        start(run_evil, *given)
    assert not out.exists()
