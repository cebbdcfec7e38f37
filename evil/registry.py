"""From a config to the thing it describes.

The module that defines a `Config` defines its `make`: that is the whole registry. Compositions
build their parts through it and so name none of them.
"""

from __future__ import annotations

import sys
from typing import Any


def make(config: Any, *args: Any, **kwargs: Any) -> Any:
    """Build what `config` describes, e.g. `make(ppo.Config(), env, score)` gives a `Learner`.

    Raises TypeError for what is not the `Config` of a module that has a `make`.
    """
    module = sys.modules[type(config).__module__]
    if type(config) is not getattr(module, "Config", None) or not hasattr(module, "make"):
        raise TypeError(f"{config!r} is not the Config of a module that has a `make`")
    return module.make(config, *args, **kwargs)
