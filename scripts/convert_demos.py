"""Convert demonstrations: what is shipped, or a file of any kind that can be read, into another.

    python scripts/convert_demos.py --env hopper --demos hopper_expert-v2.hdf5 --out hopper.npz
    python scripts/convert_demos.py --env hopper --out hopper-expert-v0
    python scripts/convert_demos.py --env gridworld --demos gridworld_1.pkl --out gridworld.npz

An `--out` that ends in .npz becomes the library's own file, any other a dataset of Minari. All
arrays are checked against the environment, but recordings in another simulator remain what they
are: MuJoCo's hopper is not Brax's. Of a pickle (.pkl) of the original code the arrays are read,
and nothing in it is called; its observations of continuous tasks stay normalised, as recorded.
"""

from __future__ import annotations

from pathlib import Path

import tyro

from evil.running import command


def convert(env: str, out: str, demos: str | None = None, backend: str | None = None) -> None:
    """Convert demonstrations of `env`; by default those shipped for it."""
    from evil import demonstrations, environments
    from evil.demonstrations import catalogue, minari
    from evil.errors import UserError

    spec, target = environments.make(env, backend).spec, Path(out).expanduser()
    if target.exists():
        raise UserError(f"{target} already exists: choose another --out.")
    if demos is None:
        found, _ = catalogue.demonstrations(spec)
    else:
        found, _ = demonstrations.load(demos, spec)
    if target.suffix == ".npz":
        demonstrations.save(target, found, spec, {"converted_from": demos or "shipped"})
    else:
        minari.save(target, found, spec, name=f"evil/{target.name}")
    episodes, steps = found.length.shape[0], int(found.length.sum())
    print(f"{episodes} episodes of {steps} steps together are in {target}")


def main() -> None:
    tyro.cli(convert, description=__doc__)


if __name__ == "__main__":
    command.main(main)
