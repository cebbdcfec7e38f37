"""Which episodes and steps of the demonstrations an experiment may learn from.

These run once, on the host, before anything is traced: the number of rows they leave is a shape.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from evil.demonstrations.demonstrations import Demonstrations, with_rows
from evil.errors import UserError


def choose(
    demos: Demonstrations, num_demos: int | None = None, subsample: int = 1
) -> Demonstrations:
    """The first `num_demos` episodes (all if None), and every `subsample`-th of their rows.

    Each episode starts at its own offset below `subsample`: 0, then spread by the golden ratio.
    The row in which one terminated is kept besides, as few others tell of ends; `sample` draws it
    as much less often as the rows around it were thinned.
    """
    num_episodes = len(demos.length)
    num_demos = num_episodes if num_demos is None else num_demos
    _check_number(num_demos, num_episodes)
    if subsample < 1:
        raise UserError(f"subsample must be 1 or more (every k-th step), found {subsample}.")
    chosen = _rows_by_episode(demos)[:num_demos]
    ends = [rows[_is_end(demos, index, rows)] for index, rows in enumerate(chosen)]
    for index, (rows, end) in enumerate(zip(chosen, ends, strict=True)):
        others = rows[: len(rows) - len(end)]
        offset = int(subsample * (index * 0.618034 % 1.0))
        kept = others[min(offset, max(len(others) - 1, 0)) :: subsample]
        chosen[index] = np.concatenate([kept, end])
    found = _episodes(demos, np.arange(num_demos), np.concatenate(chosen))
    if subsample == 1 or not any(map(len, ends)):
        return found
    weight = 1.0 if demos.end_weight is None else demos.end_weight
    return dataclasses.replace(found, end_weight=jnp.float32(weight / subsample))


def selections(demos: Demonstrations, numbers: Sequence[int]) -> Demonstrations:
    """The first `n` episodes for each of `numbers`, stacked: `rows [K, N]` and `count [K]`.

    All else is shared, so that a program can `vmap` over the selections.
    """
    per_episode = _rows_by_episode(demos)
    for number in numbers:
        _check_number(number, len(per_episode))
    chosen = [np.concatenate(per_episode[:number]) for number in numbers]
    rows = np.zeros((len(chosen), max(map(len, chosen), default=0)), np.int32)
    for row, found in zip(rows, chosen, strict=True):
        row[: len(found)] = found
    count = np.array([len(found) for found in chosen], np.int32)
    return dataclasses.replace(demos, rows=jnp.asarray(rows), count=jnp.asarray(count))


def selection_axes() -> Any:
    """`vmap`'s `in_axes` for what `selections` returns."""
    axes: dict[str, Any] = dict.fromkeys(x.name for x in dataclasses.fields(Demonstrations))
    axes |= {"rows": 0, "count": 0}
    return Demonstrations(**axes)


def split(
    demos: Demonstrations, fraction: float, by: Literal["episodes", "steps"] = "episodes"
) -> tuple[Demonstrations, Demonstrations]:
    """`(training, held out)`, where the second has about `fraction` of the whole, at least one.

    By episodes, the last ones are held out, which is what measures generalisation; by steps, rows
    spread evenly over all episodes are, which is all that a single episode allows.
    """
    per_episode = _rows_by_episode(demos)
    rows = np.concatenate(per_episode)
    total = len(per_episode) if by == "episodes" else len(rows)
    if not 0.0 < fraction < 1.0 or total < 2:
        raise UserError(
            f"cannot hold out a fraction {fraction} of {total} {by}: "
            "the fraction must lie between 0 and 1, and there must be two or more."
        )
    held = min(max(round(total * fraction), 1), total - 1)
    if by == "episodes":
        cut = total - held
        kept, out = np.concatenate(per_episode[:cut]), np.concatenate(per_episode[cut:])
        episodes = np.arange(total)
        return _episodes(demos, episodes[:cut], kept), _episodes(demos, episodes[cut:], out)
    is_held = np.zeros(total, bool)
    is_held[(2 * np.arange(held) + 1) * total // (2 * held)] = True
    whole = np.arange(len(per_episode))
    return _episodes(demos, whole, rows[~is_held]), _episodes(demos, whole, rows[is_held])


def _check_number(asked: int, there: int) -> None:
    if not 1 <= asked <= there:
        raise UserError(
            f"asked for {asked} demonstrations, but there are {there}: record more with `python "
            "scripts/evaluate.py experts/NAME --episodes N --demonstrate FILE`, and pass --demos "
            "FILE."
        )


def _rows_by_episode(demos: Demonstrations) -> list[np.ndarray]:
    rows = np.sort(np.asarray(demos.rows)[: int(demos.count)])
    episode = rows // demos.reward.shape[1]
    return [rows[episode == e] for e in range(len(demos.length))]


def _is_end(demos: Demonstrations, episode: int, rows: np.ndarray) -> np.ndarray:
    """Which of an episode's rows is the one in which it terminated, if any: `[n]` bool."""
    last = int(demos.length[episode]) - 1
    return bool(demos.terminated[episode]) & (rows % demos.reward.shape[1] == last)


def _episodes(demos: Demonstrations, which: np.ndarray, rows: np.ndarray) -> Demonstrations:
    """Keep the episodes `which` (ascending) and `rows` of them, renumbered to the new axes."""
    if len(rows) == 0:
        raise UserError("no step of the chosen demonstrations is in use.")
    arrays = {
        name: np.asarray(array)[which]
        for name in ("obs", "action", "reward", "length", "terminated")
        if (array := getattr(demos, name)) is not None
    }
    steps, longest = arrays["reward"].shape[1], arrays["length"].max()
    for name in {"obs", "action", "reward"} & set(arrays):
        arrays[name] = arrays[name][:, : longest + (name == "obs")]
    episode, step = np.divmod(rows, steps)
    found = with_rows(arrays, np.searchsorted(which, episode) * longest + step)
    return dataclasses.replace(found, end_weight=demos.end_weight)
