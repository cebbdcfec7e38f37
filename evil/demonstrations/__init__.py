"""What an expert did: the arrays, the files that hold them, and the experts that are shipped.

demonstrations.py   Demonstrations, from_episodes, nothing; actions_for, transitions, sample,
                    moments_of, returns
selection.py        choose, selections, split: which episodes and steps are learned from
files.py            save, and load: one checked `.npz`, never a pickle
minari.py, d4rl.py  what others have recorded, in HDF5
legacy.py           and in pickles, of which pickled.py reads the arrays and executes nothing
sources.py          load: any of these
catalogue.py        the experts that come with the library
"""

from evil.demonstrations.demonstrations import (
    Demonstrations,
    actions_for,
    from_episodes,
    moments_of,
    nothing,
    returns,
    sample,
    transitions,
)
from evil.demonstrations.files import save
from evil.demonstrations.selection import choose, selection_axes, selections, split
from evil.demonstrations.sources import load

__all__ = [
    "Demonstrations",
    "actions_for",
    "choose",
    "from_episodes",
    "load",
    "moments_of",
    "nothing",
    "returns",
    "sample",
    "save",
    "selection_axes",
    "selections",
    "split",
    "transitions",
]
