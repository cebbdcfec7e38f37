"""Signals, progress, the compilation cache and memory: the runner's surroundings."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.running import memory, progress, settings
from evil.running.runner import Session, run
from evil.running.signals import stop_on_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
def test_the_first_signal_asks_and_a_second_sigint_insists(number):
    before = signal.getsignal(number)
    with stop_on_signal() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(number) is before


def test_outside_the_main_thread_there_are_no_handlers():
    seen = []

    def body():
        with stop_on_signal() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [False]


def test_lines_show_the_end_and_broken_lanes(tiny):
    stream = io.StringIO()
    watcher = progress.choose(stream=stream)
    phase = tiny.phase(iterations=12, broken_metric=(tiny.NEVER, 7, tiny.NEVER))
    run(phase, Session(progress=watcher))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "irl: iteration 0 of 12"
    assert "lane 1 is frozen: agent/return was not finite in iteration 7" in lines[1]
    assert lines[2].startswith("irl: 12/12") and "env-steps/s" in lines[2]
    assert "agent/return -" in lines[2] and len(lines) == 3


def test_lines_come_at_their_interval():
    stream = io.StringIO()
    lines = progress.Lines(("a/b",), stream, interval_s=0.0)
    lines.start("irl", 0, 10)
    lines.update(5, "9 env-steps/s", {"a/b": 1.23456, "c/d": 2.0})
    assert "a/b 1.235" in stream.getvalue() and "c/d" not in stream.getvalue()


def test_a_terminal_gets_bars(tiny):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    watcher = progress.choose(stream=stream)
    assert isinstance(watcher, progress.Bars)
    run(tiny.phase(iterations=8), Session(progress=watcher))
    assert "8/8" in stream.getvalue() and "agent/return" in stream.getvalue()


def test_quiet_is_quiet(tiny, capsys):
    run(tiny.phase(iterations=4), Session(progress=progress.choose(quiet=True)))
    assert capsys.readouterr().out == ""


@pytest.fixture
def unset_cache():
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_the_cache_is_where_the_environment_says(unset_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("EVIL_CACHE", str(tmp_path))
    assert settings.use_compilation_cache() == tmp_path / "xla"
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "xla")
    monkeypatch.setenv("EVIL_CACHE", str(tmp_path / "other"))
    assert settings.use_compilation_cache() == tmp_path / "xla"  # whoever set it first


def test_a_cache_that_cannot_be_written_is_skipped(unset_cache, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVIL_CACHE", str(tmp_path / "file"))
    assert settings.use_compilation_cache() is None
    assert jax.config.jax_compilation_cache_dir is None


def compiled(function, x):
    options = settings.compiler_options()
    return np.asarray(jax.jit(function).lower(x).compile(options)(x), np.float64)


def test_what_is_not_finite_remains_so_in_large_programs():
    x = np.array([np.nan, np.inf, -np.inf, 1.0], np.float32)
    np.testing.assert_array_equal(compiled(jnp.isfinite, x), [False, False, False, True])
    np.testing.assert_array_equal(compiled(lambda x: jnp.exp(x) + 1, x)[:3], [np.nan, np.inf, 1])
    assert np.isnan(compiled(jnp.sum, x)) and np.isnan(compiled(lambda x: (x @ x) * 0.5, x))


@pytest.mark.parametrize("name", ["exp", "log1p", "expm1", "sin", "cos", "tanh", "sqrt"])
def test_functions_remain_exact_in_large_programs(name):
    x = np.geomspace(1e-6, 60.0, 4096, dtype=np.float32)
    expected = getattr(np, name)(x.astype(np.float64))
    np.testing.assert_allclose(compiled(getattr(jnp, name), x), expected, rtol=1e-6)


def test_full_precision_is_for_accelerators(monkeypatch):
    before = jax.config.jax_default_matmul_precision
    try:
        settings.use_full_precision()
        assert jax.config.jax_default_matmul_precision == before
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        settings.use_full_precision()
        assert jax.config.jax_default_matmul_precision == "highest"
    finally:
        jax.config.update("jax_default_matmul_precision", before)


def test_peak_memory_is_megabytes():
    assert 50 < memory.peak_memory_mb() < 50_000  # a process with JAX in it


@pytest.mark.parametrize("flags", ["", "--xla_cpu_enable_fast_math=false"])
def test_deterministic_operations_are_asked_for_before_jax_starts(flags):
    program = (
        "import os, sys, jax; from evil.running import command; "
        "sys.argv[1:] = ['--devices', 'cpu:1', '--deterministic_ops']\n"
        "command.main(lambda: print(os.environ['XLA_FLAGS'], jax.numpy.ones(3).sum()))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, env=os.environ | {"XLA_FLAGS": flags},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr  # XLA knows the flag, on a CPU too
    assert found.stdout.split() == [*flags.split(), "--xla_gpu_deterministic_ops=true", "3.0"]


def test_devices_are_those_that_were_asked_for():
    # In a process of its own: this one has its devices.
    program = (
        "import sys, jax; from evil.running import command, settings; sys.argv[1:] = {}\n"
        "command.main(lambda: print(jax.default_backend(), jax.local_device_count()))"
    )

    def run(*arguments):
        environment = {k: v for k, v in os.environ.items() if k != "JAX_NUM_CPU_DEVICES"}
        text = program.format(list(arguments))
        return subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, env=environment
        )

    assert run("--devices", "cpu:3").stdout.split() == ["cpu", "3"]
    for wrong, said in (("cpu:0", "expected a number above 0"), ("cpuu", "did you mean cpu")):
        found = run("--devices", wrong)
        assert found.returncode == 2 and said in found.stderr and "Traceback" not in found.stderr
