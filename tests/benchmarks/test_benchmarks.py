"""The benchmark: what it counts, how it compares, and that its parts run at the smallest sizes."""

from __future__ import annotations

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.benchmarks import accelerator, devices, regressions, roofline, scaling, timing
from evil.benchmarks.suite import REFERENCE, relative
from evil.errors import UserError
from evil.running import lanes, parts
from evil.running.runner import Phase
from evil.seams import Algorithm
from scripts import benchmark


def test_operations_of_products_by_hand():
    a, b = jnp.ones((2, 3)), jnp.ones((3, 5))

    def once(a, b):
        return a @ b

    assert roofline.product_flops(once, a, b) == 2 * 2 * 3 * 5
    # In a batch of 7, and in a loop of 4.
    batch = roofline.product_flops(jax.vmap(once, (0, None)), jnp.ones((7, 2, 3)), b)
    assert batch == 7 * 60

    def loop(a, b):
        return jax.lax.scan(lambda x, _: (x + (a @ b).sum(), None), 0.0, length=4)[0]

    assert roofline.product_flops(loop, a, b) == 4 * 60
    # Of two branches, the larger one; inside a jitted function as anywhere.

    def choose(a, b):
        return jax.lax.cond(a[0, 0] > 0, lambda: (a @ b).sum(), lambda: a.sum())

    assert roofline.product_flops(jax.jit(choose), a, b) == 60


def test_a_contestant_says_how_much_memory_it_takes_and_keeps_every_turn():
    one = timing.prepare(lambda x: x * 2.0, jnp.ones(1000))
    assert one.peak_bytes >= 2 * 4000
    seconds = timing.turns_of({"a": one, "b": one}, 3)
    assert [len(seconds[name]) for name in "ab"] == [3, 3]


def turns(scale=1.0, day=1.0, count=7, seed=0):
    """A suite whose program takes `scale`, on a day that makes everything `day` times slower."""
    rng = np.random.default_rng(seed)
    slowness = day * rng.uniform(0.8, 1.5, count)  # of both, in the same turn
    noise = rng.uniform(0.98, 1.02, count)
    return {
        "benchmark": "suite", "env": "hopper", "preset": "quick", "devices": ["cpu"],
        "turns": {
            "ppo": [float(x) for x in scale * slowness * noise],
            REFERENCE: [float(x) for x in 0.1 * slowness],
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "day", "slower", "faster"),
    [(1.0, 1.0, 0, 0), (1.0, 2.0, 0, 0), (1.2, 1.0, 1, 0), (1.2, 0.5, 1, 0), (0.8, 3.0, 0, 1)],
)
def test_what_has_become_slower_is_flagged_and_a_slow_day_is_not(scale, day, slower, faster):
    found = regressions.compare(turns(scale, day, seed=1), turns())["ppo"]
    assert (found["is_regression"], found["is_improvement"]) == (bool(slower), bool(faster))
    low, high = found["interval"]
    assert low <= found["new_over_old"] <= high
    assert found["new_over_old"] == pytest.approx(scale, rel=0.04)


def test_by_chance_next_to_nothing_is_flagged():
    flagged = [
        regressions.compare(turns(seed=seed), turns(seed=seed + 100))["ppo"]["is_regression"]
        for seed in range(40)
    ]
    assert not any(flagged)


def test_turns_are_in_units_of_the_reference_of_the_same_turn():
    assert relative({"ppo": [2.0, 6.0], REFERENCE: [1.0, 2.0]}) == {"ppo": [2.0, 3.0]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"env": "ant"}, "differ in env"),
        ({"devices": ["gpu"]}, "differ in devices"),
        ({"turns": {"ppo": [1.0], REFERENCE: [1.0]}}, "5 turns or more"),
    ],
)
def test_suites_that_cannot_be_compared_are_refused(changes, said):
    with pytest.raises(UserError, match=said):
        regressions.compare(turns() | changes, turns())


@pytest.mark.parametrize(
    "content",
    ["[]", "{}", '{"turns": {"ppo": [1.0]}}', '{"turns": {"large_product": [1.0], "ppo": ["x"]}}',
     '{"turns": {"large_product": [1.0], "ppo": [1.0, 2.0]}}', '{"turns": {"large_product": 1}}'],
)  # fmt: skip
def test_a_file_that_is_no_suite_is_refused_before_anything_runs(tmp_path, content):
    path = tmp_path / "old.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"old\.json"):
        benchmark.measure("suite", compare=path)


def test_the_script_flags_what_has_become_slower(tmp_path, monkeypatch, capsys):
    old = tmp_path / "old.json"
    old.write_text(json.dumps(turns()))
    monkeypatch.setattr(benchmark, "measured", lambda *asked: turns(1.5, seed=3))
    with pytest.raises(SystemExit) as ended:
        benchmark.measure("suite", compare=old)
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["compared"]["ppo"]["is_regression"]
    assert "slower than before: ppo" in said.err


def test_a_series_ends_when_its_time_is_spent():
    found = scaling.over_environments("cartpole", (2, 4), 1e3, turns=1, num_steps=2)
    assert [entry["count"] for entry in found["series"]] == [2, 4] and not found["not_reached"]
    assert all(entry["env_steps_per_s"] > 0 for entry in found["series"])
    found = scaling.over_environments("cartpole", (2, 4, 8), 0.0, turns=1, num_steps=2)
    assert [entry["count"] for entry in found["series"]] == [2] and found["not_reached"] == [4, 8]


def test_what_is_timed_is_compiled_anew(monkeypatch):
    asked, during, compile_phase = [], [], lanes.compile_phase

    def hear(name, **_):
        asked.append(name.rpartition("/")[2])

    def compiled(phase):
        asked.clear()
        found = compile_phase(phase)
        during.extend(asked)
        return found

    double = Algorithm(
        lambda key, data: jax.random.uniform(key), lambda x, data: (2.0 * x, {}), None, None, 0
    )
    keys = jax.random.split(jax.random.key(0), 1)
    phase = Phase(name="double", algorithm=double, data=(), keys=keys, iterations=1, chunk=1)
    monkeypatch.setattr(lanes, "compile_phase", compiled)
    jax.monitoring.register_event_listener(hear)
    try:
        jax.jit(lambda x: x * 17.0)(jnp.ones(3))
        if "compile_requests_use_cache" not in asked:
            pytest.skip("there is no cache")
        timing.driven(phase)
        asked.clear()
        jax.jit(lambda x: x * 19.0)(jnp.ones(3))
    finally:
        jax.monitoring.unregister_event_listener(hear)
    assert "compile_requests_use_cache" not in during
    assert "compile_requests_use_cache" in asked  # as before


def test_one_device_of_the_kind_that_is_here_and_all_of_them(monkeypatch):
    assert devices.one_and_all() == ("cpu:1", "cpu:2")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_device_count", lambda: 8)
    assert devices.one_and_all() == ("gpu:1", "gpu:8")
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    with pytest.raises(UserError, match=r"needs several .* found gpu:1"):
        devices.one_and_all()


def test_one_device_and_all_take_turns():
    found = devices.race_devices("stepping", "cartpole", turns=3, preset="smoke")
    assert {name: len(x) for name, x in found["seconds"].items()} == {"cpu:1": 3, "cpu:2": 3}
    assert found["all_over_one"] > 0
    with pytest.raises(UserError, match="unknown work"):
        devices.race_devices("walking", "cartpole")


def test_whole_runs_follow_from_slices(monkeypatch):
    """Three seeds where two fit are two programs, one after the other."""
    cut = functools.partial(parts.cut, lanes_per_program=2)
    monkeypatch.setattr(accelerator.parts, "cut", cut)
    found = accelerator.runs("smoke", {"cartpole": (3,)}, slice_=1, turns=1)
    (one,) = found["runs"]["cartpole"]
    assert (one["seeds"], one["side_by_side"], one["iterations"]) == (3, 2, 6)
    assert one["whole_run_s"] == pytest.approx(2 * 6 * one["seconds_per_iteration"])
    assert one["compile_s"] > 0 and found["device"]
