"""Commands as jobs: their codes and logs, how they are stopped, and what a launcher refuses."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
import types
from pathlib import Path

import pytest

from evil.errors import UserError
from evil.running import launchers
from evil.running.launchers import Job


def job(folder: Path, name: str, program: str) -> Job:
    return Job(name, [sys.executable, "-c", program], folder / f"{name}.txt")


def run(jobs, launcher, at_once=1, is_stopping=lambda: False):
    noted = []
    codes = launchers.run(
        jobs, launcher, at_once=at_once, is_stopping=is_stopping, note=noted.append
    )
    return codes, noted


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(launchers, "POLL_S", 0.02)


class FakeRay(types.ModuleType):
    """Ray's interface, as far as it is used, in this process."""

    def __init__(self):
        super().__init__("ray")
        self.asked, self.is_started = [], False

    def is_initialized(self):
        return self.is_started

    def init(self, **options):
        self.is_started = True
        self.asked.append(options)

    def remote(self, *functions, **options):
        if not functions:
            self.asked.append(options)
            return self.remote
        (function,) = functions
        return types.SimpleNamespace(remote=lambda *arguments: (function, arguments))

    def wait(self, tasks, timeout):
        return tasks, []

    def get(self, task):
        function, arguments = task
        return function(*arguments)

    def cancel(self, task):
        pass


def made(name, folder, monkeypatch):
    if name == "ray":
        fake = FakeRay()
        monkeypatch.setitem(sys.modules, "ray", fake)
        monkeypatch.setattr(launchers.importlib.util, "find_spec", lambda package: fake)
        return launchers.make("ray", {"num_cpus": 1}, folder)
    given = {"cluster": "local"} if name == "submitit" else {}
    return launchers.make(name, given, folder / "own")


@pytest.mark.parametrize("name", launchers.PACKAGES)
def test_jobs_leave_their_codes_and_logs_and_do_not_stop_each_other(tmp_path, name, monkeypatch):
    jobs = [
        job(tmp_path, "bad", "import sys; print('begun'); sys.exit('for a reason')"),
        job(tmp_path, "good", "print('done')"),
    ]
    codes, _ = run(jobs, made(name, tmp_path, monkeypatch))
    assert codes == {"bad": 1, "good": 0}
    assert launchers.last_line(jobs[0].log) in ("for a reason", "begun")
    assert launchers.last_line(jobs[1].log) == "done"


def test_no_more_jobs_run_than_may(tmp_path):
    alive, most = [], []

    class Counting:
        def __init__(self, job):
            alive.append(job.name)
            most.append(len(alive))
            self.job, self.left = job, 3

        def code(self):
            self.left -= 1
            if self.left:
                return None
            alive.remove(self.job.name)
            return 0

        def stop(self):
            raise AssertionError

    jobs = [job(tmp_path, str(number), "") for number in range(5)]
    codes, noted = run(jobs, Counting, at_once=2)
    assert max(most) == 2 and codes == dict.fromkeys("01234", 0) and len(noted) == 10


def saving(folder, seconds):
    """A job that takes so long to save, once it is asked to stop."""
    program = f"""
import pathlib, signal, sys, time

def save(*_):
    time.sleep({seconds})
    pathlib.Path({str(folder / "saved")!r}).touch()
    sys.exit(0)

signal.signal(signal.SIGTERM, save)
pathlib.Path({str(folder / "begun")!r}).touch()
time.sleep(60)
"""
    return job(folder, "first", program)


@pytest.mark.parametrize(("name", "seconds"), [("local", 0.5), ("submitit", 2.0)])
def test_asked_to_stop_it_stops_what_runs_and_starts_nothing(tmp_path, monkeypatch, name, seconds):
    jobs = [saving(tmp_path, seconds), job(tmp_path, "second", "")]
    launcher = made(name, tmp_path, monkeypatch)
    codes, _ = run(jobs, launcher, is_stopping=(tmp_path / "begun").exists)
    assert codes == {"first": 0} and (tmp_path / "saved").exists() and not jobs[1].log.exists()


@pytest.fixture
def interruptible():
    """Ctrl-C raises, as it does unless somebody sees to it: processes of pytest-xdist ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_exception_of_the_scheduler_waits_until_the_job_has_saved(tmp_path, interruptible):
    # As Ray cancels a task, and submitit ends one whose time is over.
    one = saving(tmp_path, 1.0)
    threading.Thread(target=interrupt_once, args=[tmp_path / "begun"]).start()
    with pytest.raises(KeyboardInterrupt):
        launchers.execute(one.command, str(one.log))
    assert (tmp_path / "saved").exists()


def interrupt_once(begun):
    while not begun.exists():
        time.sleep(0.01)
    _thread.interrupt_main()


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("slurm", {}, "unknown launcher"),
        ("local", {"timeout_min": 1}, "local has no option timeout_min"),
        ("submitit", {"cluster": "local", "colour": "red"}, "submitit refuses its options"),
        ("submitit", {}, "finds no Slurm here"),
        ("submitit", {"cluster": "nowhere"}, "submitit refuses its options"),
    ],
)
def test_what_a_launcher_cannot_do_is_refused(tmp_path, monkeypatch, name, given, said):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=said):
        launchers.make(name, given, tmp_path)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(launchers.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(UserError, match="--launcher ray needs the ray package"):
        launchers.make("ray", {}, tmp_path)


def test_options_are_names_and_values():
    found = launchers.options(["timeout_min=60", "slurm_partition=gpu", 'x={"a": [1]}'])
    assert found == {"timeout_min": 60, "slurm_partition": "gpu", "x": {"a": [1]}}
    with pytest.raises(UserError, match="expected name=value"):
        launchers.options(["timeout_min"])


def test_a_job_without_words_is_said_to_have_none(tmp_path):
    (tmp_path / "log").write_text("")
    assert launchers.last_line(tmp_path / "log") == "it said nothing"
    assert launchers.last_line(tmp_path / "none") == "it left no log"
