"""What is left to do of a run, in a process of its own.

python -m evil.experiments.series.job RUN
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from evil.config import from_dict
from evil.errors import UserError
from evil.running import command
from evil.running.directory import RunDirectory


def main() -> None:
    """Begin or continue the study whose config lies in a run directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--devices")
    parser.add_argument("--checkpoint_every", type=float, default=60.0)
    parser.add_argument("--deterministic_ops", action="store_true")
    parser.add_argument("--memory_mb", type=float)
    asked = parser.parse_args()
    config = from_dict(RunDirectory.open(asked.run).read_config())
    study = getattr(sys.modules[type(config).__module__], "study", None)
    if study is None:
        raise UserError(f"{asked.run} is no run of a study, found {type(config).__module__}.")
    output = command.Output(resume=str(asked.run), checkpoint_every=asked.checkpoint_every)
    again = "Continue with the --resume of the whole sweep."
    with command.session(config, output, name="job", again=again) as session:
        if asked.memory_mb is not None:
            session = dataclasses.replace(session, memory_limit=int(asked.memory_mb * 2**20))
        study(config)(session)


if __name__ == "__main__":
    command.main(main)
