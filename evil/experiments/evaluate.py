"""What the policies of a finished run are worth, from its files alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evil.config import from_dict, to_dict
from evil.demonstrations import catalogue
from evil.errors import UserError, unknown
from evil.evaluation import episodes, rendering
from evil.experiments.shared import artefacts
from evil.running import files, weights
from evil.seams import Environment, Key, Policy, Spec


@dataclasses.dataclass(frozen=True)
class Loaded:
    """One policy, and the environment it was trained in."""

    name: str
    env: Environment
    policy: Policy


@dataclasses.dataclass(frozen=True)
class Played:
    """Full episodes of one policy: returns and lengths, `[E]` each."""

    returns: np.ndarray
    lengths: np.ndarray

    def summary(self) -> dict[str, Any]:
        """Numbers worth reporting, and every episode behind them."""
        return {
            "mean": float(self.returns.mean()),
            "std": float(self.returns.std()),
            "min": float(self.returns.min()),
            "max": float(self.returns.max()),
            "mean_length": float(self.lengths.mean()),
            "returns": self.returns.tolist(),
            "lengths": self.lengths.tolist(),
        }


def find(path: Path) -> dict[str, Path]:
    """Policy files by name: of a run directory, of a folder with policies, or one file itself."""
    if path.is_file() and path.suffix == weights.SUFFIX:
        return {path.stem: path}
    if not path.is_dir():
        raise UserError(f"{path}: expected a run directory or a {weights.SUFFIX} file there.")
    inside = path / "policy" if (path / "policy").is_dir() else path
    found = {file.stem: file for file in sorted(inside.glob(f"*{weights.SUFFIX}"))}
    if not found:
        is_run = (path / "config.json").is_file()
        reason = "the run has not finished" if is_run else "it is neither a run nor an expert"
        raise UserError(f"{path} has no policies: {reason}.")
    return found


def choose(found: dict[str, Path], name: str | None, lane: int | None) -> dict[str, Path]:
    """The policies of one name, `irl` or `irl-0`, and of one lane, the 0 in it."""
    families = {policy.rpartition("-")[0] or policy for policy in found}
    if name is not None and name not in {*families, *found}:
        raise unknown("policy", name, {*families, *found})
    named = {
        policy: path
        for policy, path in found.items()
        if name in (None, policy, policy.rpartition("-")[0])
    }
    if lane is None:
        return named
    of_lane = {policy: path for policy, path in named.items() if policy.endswith(f"-{lane}")}
    if not of_lane:
        raise UserError(f"no policy of lane {lane} among {', '.join(named)}.")
    return of_lane


def load(found: dict[str, Path], *, deterministic: bool) -> list[Loaded]:
    """The policies in some files; those alike share one environment and one `act`."""
    alike: dict[str, Loaded] = {}
    loaded = []
    for name, path in found.items():
        meta = weights.describe(path)
        mode = deterministic or meta.get("actions") == "mode"
        described = {part: meta.get(part) for part in ("kind", "env", "backend")}
        world = json.dumps(described | {"config": _complete(meta.get("config"))})
        first = alike.get(f"{mode} {world}")
        if first is None:
            env, policy = artefacts.load_policy(path, deterministic=mode)
            loaded.append(alike.setdefault(f"{mode} {world}", Loaded(name, env, policy)))
            continue
        # A second environment and a second `act` would only be compiled again.
        params, _ = weights.load(path, first.policy.params)
        policy = dataclasses.replace(first.policy, params=params)
        loaded.append(Loaded(name, first.env, policy))
    worlds = {f"{one.env.spec.name} {one.env.spec.backend}".strip() for one in loaded}
    if len(worlds) > 1:
        raise UserError(f"these policies are for {' and '.join(sorted(worlds))}: choose --policy.")
    return loaded


def _complete(config: Any) -> Any:
    """A config with the defaults of fields that were not there yet when it was written."""
    return to_dict(from_dict(config)) if isinstance(config, dict) else config


def play(loaded: list[Loaded], key: Key, num_episodes: int) -> dict[str, Played]:
    """Episodes of every policy, all from the same starts; one program for those alike."""
    groups: dict[Any, list[Loaded]] = {}
    for one in loaded:
        groups.setdefault(one.policy.act, []).append(one)
    found = {}
    for members in groups.values():
        env, template = members[0].env, members[0].policy
        params = jax.tree.map(lambda *x: jnp.stack(x), *[one.policy.params for one in members])

        def run(params: Any, env: Environment = env, template: Policy = template) -> Any:
            policy = dataclasses.replace(template, params=params)
            return episodes.returns(env, policy, key, num_episodes)

        returns, lengths = map(np.asarray, jax.jit(jax.vmap(run))(params))
        for one, *rows in zip(members, returns, lengths, strict=True):
            found[one.name] = Played(*rows)
    return {one.name: found[one.name] for one in loaded}


def references(path: Path, spec: Spec) -> dict[str, float]:
    """Returns of the expert and of random actions, where the run or the catalogue knows them.

    A run is compared with what it imitated, which need not be the expert that is shipped.
    """
    known: dict[str, Any] = {}
    shipped = catalogue.directory(spec.name, spec.backend) / catalogue.CARD
    for source in (shipped, path / "summary.json"):
        if source.is_file():
            known |= _returns(files.read_json(source))
    return known


def film(one: Loaded, key: Key) -> tuple[rendering.Film, float]:
    """A film of one episode, and its return."""
    record = jax.jit(
        lambda params: rendering.record(
            one.env, dataclasses.replace(one.policy, params=params), key
        )
    )
    recording = record(one.policy.params)
    total = float(np.asarray(recording.reward)[: int(recording.length)].sum())
    return rendering.film(one.env, recording, f"{one.env.spec.name}: {one.name}"), total


def _returns(content: dict[str, Any]) -> dict[str, float]:
    """From a summary or a score card, which name the same things differently."""
    named = {
        "expert": content.get("expert_return", content.get("return_mean")),
        "random": content.get("random_return", content.get("random_return_mean")),
    }
    return {name: float(x) for name, x in named.items() if isinstance(x, int | float)}
