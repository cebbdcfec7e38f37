"""What an expert did: the arrays, the files that hold them, and the experts that are shipped.

demonstrations.py   Demonstrations, from_episodes, transitions, sample, statistics, returns
selection.py        choose, split: which episodes and steps are learned from
files.py            save, load: one checked `.npz`, never a pickle
catalogue.py        the experts that come with the library
"""

from evil.demonstrations.demonstrations import (
    Demonstrations,
    from_episodes,
    moments_of,
    returns,
    sample,
    transitions,
)
from evil.demonstrations.files import load, save
from evil.demonstrations.selection import choose, selection_axes, selections, split

__all__ = [
    "Demonstrations",
    "choose",
    "from_episodes",
    "load",
    "moments_of",
    "returns",
    "sample",
    "save",
    "selection_axes",
    "selections",
    "split",
    "transitions",
]
