"""Show again how a lane broke, from the file that its run left.

    python scripts/replay.py RUN/faults/irl-3.safetensors

goes through the iterations from the state in the file on, one by one and by itself, and says which
metric or which part of the state is the first that is not finite. The file is enough: the phases
before the one that broke are read from the run around it, or run again where there is none.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import tyro

from evil.config import from_dict
from evil.errors import UserError
from evil.running import command, faults, progress
from evil.running.runner import Session


def replay(file: tyro.conf.Positional[Path]) -> None:
    """Replay the fault in a file of RUN/faults/."""
    fault = faults.read(file)
    config = from_dict(fault.config)
    study = getattr(sys.modules[type(config).__module__], "study", None)
    if study is None:
        raise UserError(f"{file} is of no study, found {type(config).__module__}.")
    with fault.directory() as directory:
        watch = functools.partial(faults.seek, fault)
        session = Session(directory=directory, progress=progress.choose(), watch=watch)
        try:
            study(config)(session)
        except faults.Found as found:
            phase = found.phase
        else:
            raise UserError(f"{file} is of a phase {fault.phase}, which its config does not have.")
    print(f"{fault.phase}, lane {fault.lane}: {fault.metric} in iteration {fault.iteration}")
    seen = ""
    for iteration, broken in faults.again(fault, phase):
        print(f"iteration {iteration}: {f'{broken} is not finite' if broken else 'all is finite'}")
        seen = seen or broken
    if not seen:
        print("the fault did not show: alone, the lane is computed with other roundings.")


def main() -> None:
    tyro.cli(replay, description=__doc__)


if __name__ == "__main__":
    command.main(main)
