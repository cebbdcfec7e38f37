"""What a command says when it is interrupted, and how it ends."""

from __future__ import annotations

import sys

import pytest

from evil.errors import UserError
from evil.experiments import clone
from evil.running import command, settings
from evil.running.runner import Interrupted

CONFIG = clone.Config(env="cartpole")


@pytest.fixture
def interrupted(monkeypatch, capsys):
    """Run a body that an interruption ends; returns the exit code and what was said."""
    monkeypatch.setattr(sys, "argv", ["run_bc.py"])
    monkeypatch.setattr(settings, "prepare", lambda *_, **__: None)

    def call(body):
        try:
            command.main(body)
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out

    return call


def within(path, error, **options):
    """A body that is interrupted in a session at `path`."""

    def body():
        with command.session(CONFIG, command.Output(out=str(path)), name="bc", **options):
            raise error

    return body


def test_before_there_is_a_run_nothing_is_lost(interrupted):
    def body():
        raise KeyboardInterrupt

    code, said = interrupted(body)
    assert code == 0 and "nothing was begun" in said and "--resume" not in said


def test_the_directory_is_named_at_the_beginning_and_after_a_stop(interrupted, tmp_path):
    path = tmp_path / "my run"
    code, said = interrupted(within(path, Interrupted("bc", 8, saved=True)))
    assert code == 0 and f"the run directory is {path}\n" in said
    assert said.endswith(f"its state is saved. Continue with --resume '{path}'\n")


def test_a_second_signal_leaves_no_traceback(interrupted, tmp_path):
    code, said = interrupted(within(tmp_path / "run", KeyboardInterrupt()))
    assert code == 130 and said.endswith(f"is kept. Continue with --resume {tmp_path / 'run'}\n")


def test_where_there_is_no_resume_another_way_is_named(interrupted, tmp_path):
    stop = Interrupted("bc", 8, saved=True)
    _, said = interrupted(within(tmp_path / "run", stop, again="Continue with the same command."))
    assert said.endswith("Continue with the same command.\n") and "--resume" not in said


def test_a_figure_that_cannot_be_written_is_one_sentence(tmp_path):
    def draw(path):
        raise OSError(28, "No space left on device")

    output = command.Output(out=str(tmp_path / "run"), quiet=True)
    with pytest.raises(UserError, match=r"cannot draw the figures of .*/run: No space left"):
        command.carry_out(lambda _: {}, CONFIG, output, name="bc", draw=draw)
