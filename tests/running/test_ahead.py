"""Programs compiled ahead: found by the run they were meant for."""

from __future__ import annotations

import dataclasses

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from evil.running.ahead import compile_ahead
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


def programs(folder):
    return {path.name for path in folder.iterdir() if "init" in path.name or "advance" in path.name}


def test_the_run_finds_what_was_compiled(tiny, cache):
    compile_ahead(tiny.phase(iterations=2))()
    before = programs(cache)
    assert len({name.split("-")[0] for name in before}) == 2  # one of each
    run(tiny.phase(iterations=2), Session())
    assert programs(cache) == before


def test_without_a_cache_nothing_is_done(tiny, cache, monkeypatch):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setattr("evil.running.ahead.ThreadPoolExecutor", None)
    compile_ahead(tiny.phase(iterations=2))()


def test_waiting_raises_what_went_wrong(tiny, cache):
    def step(state, data):
        raise RuntimeError("no such step")

    broken = dataclasses.replace(tiny.phase(iterations=2).algorithm, step=step)
    wait = compile_ahead(dataclasses.replace(tiny.phase(iterations=2), algorithm=broken))
    with pytest.raises(RuntimeError, match="no such step"):
        wait()
