"""What every command line has in common: parsing, the run directory, errors and exit codes."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import rich.box
import rich.console
import rich.table
import tyro

from evil import atomic
from evil.config import from_dict, to_dict
from evil.errors import UserError
from evil.running import processes, progress, settings, sinks
from evil.running.directory import RunDirectory
from evil.running.runner import Interrupted, Session
from evil.running.signals import stop_on_signal

T = TypeVar("T")

RETURN_NAMES = {
    "random_return": "random actions",
    "bc_return": "behavioural cloning",
    "online_bc_return": "online cloning, as many labels",
    "retrain_return": "retrained on the recovered reward",
    "rl_return": "trained on the real reward",
    "survival_return": "trained on survival alone",
    "unshaped_return": "trained without shaping",
    "critic_return": "trained with a critic for potential",
    "expert_critic_return": "trained with the expert's critic for potential",
    "real_return": "trained on the real reward",
    "recovered_return": "trained on the recovered reward",
    "shaped_return": "trained on it with shaping",
    "demonstrated_return": "the demonstrated episodes",
    "mode_return": "its likeliest actions",
}
FINAL_NAMES = {  # what `final_return` is of, by algorithm
    "adril": "AdRIL",
    "airl": "AIRL",
    "bc": "behavioural cloning",
    "dac": "DAC",
    "dagger": "DAgger",
    "dril": "DRIL",
    "evil": "trained with the evolved shaping",
    "fairl": "FAIRL",
    "gail": "GAIL",
    "gmmil": "GMMIL",
    "pwil": "PWIL",
    "red": "RED",
    "sac": "SAC on the real reward",
    "sqil": "SQIL",
    "survival": "trained on survival alone",
    "transfer": "trained on what was carried over",
    **dict.fromkeys(("maxent", "mce", "relent"), "planned on the recovered reward"),
}


@dataclasses.dataclass(frozen=True)
class Output:
    """Where a run goes and who hears of it."""

    out: str | None = None
    """Run directory to create; default: runs/<what>-<time>."""
    resume: str | None = None
    """Run directory to continue, with the config it was started with."""
    quiet: bool = False
    """No progress display."""
    wandb: str = ""
    """Weights & Biases project to log to as well, when wandb is installed."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints."""
    devices: str | None = None
    """Devices to spread lanes over: cpu:2, gpu:4, gpu; default: all of the best kind."""
    deterministic_ops: bool = False
    """The same bits every time on a GPU, too, by operations some of which are slower. A CPU gives
    them anyway."""


@dataclasses.dataclass(frozen=True)
class Arguments(Generic[T]):
    """A config and where its run goes, without a prefix to either's options."""

    config: Annotated[T, tyro.conf.arg(name="")]
    output: Annotated[Output, tyro.conf.arg(name="")]


def parse(
    kind: type[T] | tuple[type[T], ...],
    description: str,
    make_default: Callable[[argparse.Namespace], T],
    choosing: Sequence[tuple[str, dict[str, Any]]],
    arguments: Sequence[str] | None = None,
    *,
    aside: Sequence[tuple[str, dict[str, Any]]] = (),
) -> tuple[T, Output]:
    """The config and output options that a command line asks for.

    The config is of one `kind`, or of one of several; which, the defaults decide.
    `choosing` are the options on which the defaults of all others depend, as for argparse
    (`("--env", {"default": "hopper"})`); they must be fields of the config, too. Those `aside` say
    something to the defaults alone. With `--resume` the defaults are the config of that run. Fields
    are given by their dotted name.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    arguments = [_long(argument) for argument in arguments]
    scout = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    scout.add_argument("--resume")
    for name, options in (*choosing, *aside):
        spellings = {name, name.replace("_", "-")}
        scout.add_argument(*sorted(spellings), dest=name.lstrip("-"), **options)
    asked, _ = scout.parse_known_args(arguments)
    if asked.resume and not {"-h", "--help"} & set(arguments):
        default = from_dict(RunDirectory.open(asked.resume).read_config())
        if not isinstance(default, kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            found, expected = type(default).__module__, " or ".join(k.__module__ for k in kinds)
            raise UserError(f"{asked.resume} is a run of {found}, expected one of {expected}")
    else:
        default = make_default(asked)
    listener = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name, options in aside:
        listener.add_argument(name, **options)
    arguments = listener.parse_known_args(arguments)[1]
    parsed = tyro.cli(
        Arguments[type(default)],
        args=arguments,
        default=Arguments(config=default, output=Output()),
        description=description,
        config=(tyro.conf.AvoidSubcommands,),
    )
    return parsed.config, parsed.output


def _long(argument: str) -> str:
    """The one short form that the reference's users have in their fingers."""
    return re.sub(r"^-sd(?==|$)", "--seed", argument)


@contextlib.contextmanager
def session(config: Any, output: Output, *, name: str, again: str = "") -> Iterator[Session]:
    """A session in a new run directory, or in the one to resume; of the first process alone.

    An interruption carries, as a note, how to go on: as `again` says, or with `--resume`.
    """
    found: list[RunDirectory] = []
    processes.first(lambda: found.append(_directory(config, output, name)))
    directory = found[0] if found else None
    shown = progress.choose(output.quiet or directory is None)
    try:
        with contextlib.ExitStack() as closing, stop_on_signal() as stop:
            opened: tuple[sinks.Sink, ...] = ()
            if directory is not None:
                shown.note(f"the run directory is {directory.path}")
                opened = sinks.open_sinks(directory, wandb=output.wandb)
            for sink in opened:
                closing.callback(sink.close)
            yield Session(
                directory=directory,
                sinks=opened,
                progress=shown,
                stop=stop,
                checkpoint_interval_s=output.checkpoint_every,
            )
    except (Interrupted, KeyboardInterrupt) as interruption:
        if directory is not None:
            path = shlex.quote(str(directory.path))
            interruption.add_note(again or f"Continue with --resume {path}")
        raise


def _directory(config: Any, output: Output, name: str) -> RunDirectory:
    if output.resume:
        directory = RunDirectory.open(output.resume)
        directory.check_same_config(to_dict(config))
        return directory
    if output.wandb and importlib.util.find_spec("wandb") is None:
        raise UserError("--wandb needs the wandb package: pip install 'evil[wandb]'")
    path = output.out or f"runs/{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    return RunDirectory.create(path, to_dict(config))


def carry_out(
    study: Callable[[Session], dict[str, Any]],
    config: Any,
    output: Output,
    *,
    name: str,
    draw: Callable[[Path], object],
    show: Callable[[dict[str, Any]], None] | None = None,
    note: str = "",
) -> None:
    """Run a study in its directory, draw its figures there, and show what it has found."""
    with session(config, output, name=name) as opened:
        if note:
            opened.progress.note(note)
        summary = study(opened)
        if opened.directory is None:
            return  # the first process does the rest
        path = opened.directory.path
        with atomic.explained("draw the figures of", path):
            draw(path)
    (show or show_returns)(summary)
    print(f"everything about this run is in {path}")


def main(body: Callable[[], None], *, is_shared: bool = False) -> None:
    """Run a script: one sentence and exit code 2 for wrong input, 0 after a clean stop.

    Stopped before there is a run it has lost nothing, which is clean, too; a second Ctrl-C, which
    does not wait for a checkpoint, gives 130. A script that `is_shared` may be carried out by
    several processes together.
    """
    try:
        asked = _asked_settings(sys.argv[1:])
        settings.prepare(
            asked.devices, is_shared=is_shared, is_deterministic=asked.deterministic_ops
        )
        body()
    except processes.Elsewhere:  # and said there
        raise SystemExit(2) from None
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except Interrupted as stop:
        if processes.is_first():
            print("", " ".join([str(stop), *_notes(stop)]), sep="\n")
    except KeyboardInterrupt as stop:
        notes = _notes(stop)
        kept = "only what the last checkpoint holds is kept." if notes else "nothing was begun."
        print("", " ".join(["interrupted;", kept, *notes]), sep="\n")
        raise SystemExit(130 if notes else 0) from None
    except BrokenPipeError:
        raise SystemExit(0) from None


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _asked_settings(arguments: Sequence[str]) -> argparse.Namespace:
    """What `--devices` and its like say, which JAX must know before anything else is done."""
    scout = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    scout.add_argument("--devices")
    ways = ("--deterministic_ops", "--deterministic-ops")
    scout.add_argument(*ways, action="store_true", dest="deterministic_ops")
    return scout.parse_known_args(arguments)[0]


def show_returns(summary: Mapping[str, Any]) -> None:
    """A table of all true returns that a summary reports, beside the expert's.

    Where a reward was recovered, returns under it stand beside them: a policy that does well by
    that reward and badly in truth has found a wrong reward, one that does badly by both a right
    one from which it could not learn.
    """
    expert, recovered = summary["expert_return"], summary.get("under_recovered_reward", {})
    table = rich.table.Table(box=rich.box.SIMPLE, title_justify="left")
    headings = ["true return", "mean", "of expert", *["recovered"] * bool(recovered), "each seed"]
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "true return" else "right")

    final = FINAL_NAMES.get(summary["algorithm"], "IRL policy")
    names = RETURN_NAMES | {"final_return": final}

    def beside(name: str) -> list[str]:
        return [f"{recovered[name]['mean']:,.1f}" if name in recovered else ""] * bool(recovered)

    if expert is not None:
        table.add_row("expert", f"{expert:,.1f}", "", *beside("expert"), "")
    for name, value in summary.items():
        if not name.endswith("_return") or name == "expert_return" or value is None:
            continue
        mean = value["mean"] if isinstance(value, dict) else value
        seeds = value["per_seed"] if isinstance(value, dict) else []
        share = f"{100 * mean / expert:.0f} %" if expert is not None and expert > 0 else ""
        cells = "  ".join(f"{x:,.1f}" for x in seeds)
        policy = {"final_return": "irl"}.get(name, name.removesuffix("_return"))
        label = names.get(name, name)
        table.add_row(label, f"{mean:,.1f}", share, *beside(policy), cells)
    rich.console.Console().print(table)
