"""Recipes for recovering a reward: the library's, the published one, and variations of both.

Each row of the study of recipes changes one thing of the recipe it names, a few change two that
belong together, so that the table says what that is worth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from evil.rewards import adversarial, moment_matching


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What IRL++ does, whatever the sizes are."""

    member: moment_matching.Config | adversarial.Config  # but for its sizes
    population: int = 1  # policies, of which all but the first begin again twice
    settled: float = 1.0  # share of the run after which the reward hardly changes any more
    paper_decay: int | None = None  # iterations over which it settles at `paper`, if prescribed


RECIPES = {
    "default": Recipe(
        member=moment_matching.Config(
            output="linear",
            normalise="pooled",
            baseline="least",
            baseline_quantile=0.15,
            expert_quantile=0.01,
            gradient_target=1.0,
            one_sided=True,
            learning_rate=1e-3,
            final_learning_rate=1e-7,
            input_noise=3.0,
        ),
        population=2,
        settled=2 / 3,
    ),
    "published": Recipe(member=moment_matching.Config(), paper_decay=400),
    "gail": Recipe(member=adversarial.Config()),
}
# A classifier that is a table: nothing generalises in it, so nothing has to be held down. Episodes
# go on after their end, or an agent had better stay where the expert often passes.
TABLE = adversarial.Config(
    hidden=(), embed=True, learning_rate=0.03, weight_decay=0.0, gradient_penalty=0.0,
    spectral=False, absorbing_steps=30, reward_bound=10.0, batch_size=1024,
)  # fmt: skip

MEMBER = "algorithm.reward.member."


@dataclasses.dataclass(frozen=True)
class Row:
    """A recipe by name, and why it is worth a look."""

    name: str
    why: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # dotted field to value
    recipe: str = "default"  # what is changed


ROWS = (
    Row("default", "the library's recipe"),
    Row("published", "bounded reward in units of the expert's spread", recipe="published"),
    # The history.
    Row("current", "the reward answers the current policy alone", {"algorithm.history": "current"}),
    Row(
        "published-current",
        "plain IRL as published, against whole rollouts of the present policy",
        {"algorithm.history": "current", "algorithm.reward.size": 1},
        recipe="published",
    ),
    Row("recent", "recent policies count for more", {"algorithm.recency": 1.0}),
    Row("stratified", "every batch draws evenly from all ages", {"algorithm.stratified": True}),
    # Who fills it.
    Row("alone", "one policy, never begun again", {"algorithm.population": 1}),
    Row(
        "resets",
        "the policy itself begun again by chance, as published",
        {"algorithm.population": 1, "algorithm.reset_probability": 0.03},
    ),
    Row(
        "alternating",
        "a beginner every forty iterations, and a reward that answers them to the end",
        {"algorithm.rejuvenation": 40, MEMBER + "schedule": "constant"},
    ),
    # The form of the reward.
    Row("sigmoid", "bounded between 0 and 1", {MEMBER + "output": "sigmoid"}),
    Row("logit", "fitted between 0 and 1, paid as log-odds", {MEMBER + "output": "logit"}),
    Row("clipped", "between 0 and 1, straight in between", {MEMBER + "output": "clipped"}),
    Row("two-sided", "slopes below the target are penalised too", {MEMBER + "one_sided": False}),
    Row("expert-units", "inputs in units of the expert's spread", {MEMBER + "normalise": "expert"}),
    Row("centred", "the agent's mean is worth nothing", {MEMBER + "baseline": "agent"}),
    Row(
        "twentieth",
        "a twentieth of what the agent does is paid less than nothing",
        {MEMBER + "baseline_quantile": 0.05},
    ),
    Row(
        "quarter",
        "a quarter of what the agent does is paid less than nothing",
        {MEMBER + "baseline_quantile": 0.25},
    ),
    Row(
        "agent-level",
        "the level answers the agent alone, whatever that does to the expert's worst steps",
        {MEMBER + "expert_quantile": 1.0},
    ),
    Row("no-baseline", "the level is left to chance", {MEMBER + "baseline": "none"}),
    Row("penalty-1", "a tenth of the penalty's weight", {MEMBER + "gradient_penalty": 1.0}),
    Row(
        "spectral",
        "weights of norm one instead of a penalty",
        {MEMBER + "spectral": True, MEMBER + "gradient_penalty": 0.0},
    ),
    Row("absorbing", "death goes on for a hundred steps", {MEMBER + "absorbing_steps": 100}),
    Row(
        "absorbing-alone",
        "that, and no other level",
        {MEMBER + "absorbing_steps": 100, MEMBER + "baseline": "none"},
    ),
    # How it is fitted.
    Row("optimistic", "the gradient's last change once more", {MEMBER + "optimism": 1.0}),
    Row("constant-rate", "a step size that never falls", {MEMBER + "schedule": "constant"}),
    Row(
        "harmonic-rate",
        "a step size that falls as 1/t, in periods of 150 updates",
        {MEMBER + "schedule": "harmonic", MEMBER + "schedule_updates": 150},
    ),
    # How coarsely it sees.
    Row("sharp", "no noise on the inputs", {MEMBER + "input_noise": 0.0}),
    Row("noise-1", "a third of the noise", {MEMBER + "input_noise": 1.0}),
    Row("noise-2", "two thirds of it", {MEMBER + "input_noise": 2.0}),
    Row(
        "sharp-alone",
        "neither noise nor beginners",
        {MEMBER + "input_noise": 0.0, "algorithm.population": 1},
    ),
    Row("decay", "weight decay", {MEMBER + "weight_decay": 1e-2}),
    Row("averaged", "a running average of the weights", {MEMBER + "averaging": 0.999}),
    Row("shaped", "fresh policies are shaped by the game's critic", {"shaped": True}),
    # What it sees.
    Row("next-state", "rewards of the successor", {MEMBER + "inputs": "next_s"}),
    Row("state-pairs", "rewards of state and successor", {MEMBER + "inputs": "ss"}),
    Row("state-action", "rewards of state and action", {MEMBER + "inputs": "sa"}),
    # Its size.
    Row("linear-model", "a reward linear in the observation", {MEMBER + "hidden": ()}),
    Row("wide", "wider discriminators", {MEMBER + "hidden": (256, 256)}),
    Row("deep", "deeper discriminators", {MEMBER + "hidden": (64, 64, 64, 64)}),
    Row("single", "one discriminator", {"algorithm.reward.size": 1}),
    Row("minimum", "the ensemble's minimum", {"algorithm.reward.reduction": "minimum"}),
    Row(
        "pessimistic",
        "the ensemble's mean less its deviation",
        {"algorithm.reward.reduction": "mean_minus_deviation"},
    ),
)
