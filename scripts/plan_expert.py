"""Plan an expert in a finite world, exactly, and let it demonstrate.

    python scripts/plan_expert.py --env gridworld50
    python scripts/plan_expert.py --file demonstrations.npz --num_demos 1000 --seed 1

writes the policies, 10,000 episodes and a score card to experts/, or only a file of episodes.
"""

from __future__ import annotations

import tyro

from evil.experiments import planned
from evil.running import command


def main() -> None:
    config = tyro.cli(planned.Config, description=__doc__)
    path = planned.study(config)()
    print(f"the expert is in {path}" if config.file is None else f"the episodes are in {path}")


if __name__ == "__main__":
    command.main(main)
