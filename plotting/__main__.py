"""Draw every figure of one or more runs: `python -m plotting RUN...`."""

from __future__ import annotations

import argparse
import sys

from plotting import NoData, draw_all


def main() -> int:
    """Print the path of each figure; 2 if a run has none."""
    parser = argparse.ArgumentParser(prog="python -m plotting", description=__doc__)
    parser.add_argument("run", nargs="+", help="run directory")
    for run in parser.parse_args().run:
        try:
            drawn = draw_all(run)
        except NoData as error:
            print(error, file=sys.stderr)
            return 2
        except OSError as error:
            print(f"cannot draw the figures of {run}: {error.strerror}", file=sys.stderr)
            return 2
        if not drawn:
            print(f"{run}: nothing to draw yet.", file=sys.stderr)
            return 2
        print(*drawn, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
