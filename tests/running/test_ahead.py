"""Programs compiled ahead: found by the run they were meant for."""

from __future__ import annotations

import dataclasses
import functools

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from evil.running.ahead import compile_ahead, compile_phase
from evil.running.runner import Session, run

OPTIONS = {
    "jax_compilation_cache_dir": None,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
}


@pytest.fixture
def cache(tmp_path):
    """An empty cache on disk that keeps everything."""
    before = {name: jax.config.values[name] for name in OPTIONS}
    for name, value in (OPTIONS | {"jax_compilation_cache_dir": str(tmp_path)}).items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def ahead_of(phase):
    return compile_ahead(functools.partial(compile_phase, phase))


def programs(folder):
    return {path.name for path in folder.iterdir() if "init" in path.name or "advance" in path.name}


def test_the_run_finds_what_was_compiled(tiny, cache):
    (wait,) = ahead_of(tiny.phase(iterations=2))
    wait()
    before = programs(cache)
    assert len({name.split("-")[0] for name in before}) == 2  # one of each
    run(tiny.phase(iterations=2), Session())
    assert programs(cache) == before


def test_without_a_cache_nothing_is_done(tiny, cache, monkeypatch):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setattr("evil.running.ahead.ThreadPoolExecutor", None)
    (wait,) = ahead_of(tiny.phase(iterations=2))
    wait()


def test_jobs_are_done_in_order_and_fail_alone(cache):
    done = []

    def fail():
        raise RuntimeError("no such step")

    first, second, third = compile_ahead(lambda: done.append(1), fail, lambda: done.append(3))
    third()
    assert done == [1, 3]
    first()
    with pytest.raises(RuntimeError, match="no such step"):
        second()


def test_waiting_raises_what_went_wrong(tiny, cache):
    def step(state, data):
        raise RuntimeError("no such step")

    broken = dataclasses.replace(tiny.phase(iterations=2).algorithm, step=step)
    (wait,) = ahead_of(dataclasses.replace(tiny.phase(iterations=2), algorithm=broken))
    with pytest.raises(RuntimeError, match="no such step"):
        wait()
