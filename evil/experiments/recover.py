"""The main study: demonstrations in, a recovered reward out, a policy retrained on it.

    bc        behavioural cloning, the baseline without a reward
    irl       the game between policy and reward
    retrain   fresh policies on the frozen reward, on the real one, and on mere survival

The last three share learner, budget and compiled program, so that a weak learner or a bonus for
survival is not mistaken for the reward's merit.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from evil import registry
from evil.errors import at_least
from evil.experiments.shared import critics, findings, measure, retraining
from evil.experiments.shared.problem import Problem, read_problem
from evil.imitation import bc, irl
from evil.learners import choice
from evil.rewards import fixed
from evil.running import ahead, lanes, parts
from evil.running.runner import Phase, Session, run
from evil.seams import Algorithm, Key, Policy, PyTree, RewardModel


@dataclasses.dataclass(frozen=True)
class Config:
    """Recovering a reward from demonstrations."""

    env: str = "hopper"
    """Environment: hopper, walker2d, halfcheetah, ant, humanoid, cartpole, pendulum, reacher,
    gridworld, or any Gymnax id."""
    irl_plus: bool = False
    """IRL++ (all past policies, beginners too, and an ensemble) or plain IRL (the current one)."""
    recipe: str = "default"
    """How the reward is recovered: default; published, as in the reference; or gail."""
    method: str = ""
    """Name under which results are reported; default: irl or irl_plus."""
    preset: str = "auto"
    """Sizes of everything: smoke, quick, paper, or auto: paper on an accelerator, else quick."""
    backend: str | None = None
    """Physics backend of a Brax environment: positional (default), spring, generalized or mjx."""
    seed: int = 1
    """Seed of everything random; seed k+1 is not one of the lanes of seed k."""
    num_seeds: int = 1
    """Independent runs side by side in one compiled program."""
    demos: str | None = None
    """File of demonstrations; default: those shipped for the environment."""
    num_demos: int | None = None
    """How many episodes to use; default: all."""
    subsample: int = 1
    """Use every k-th step of each episode, and besides the one in which it terminated."""
    iterations: int = 300
    """Iterations of the game, and of each retraining."""
    chunk: int = 5
    """Iterations between two updates of the display."""
    bc_iterations: int = 60
    """Validations of behavioural cloning at most; 0 leaves it out."""
    num_retrained: int = 2
    """Fresh policies trained on each recovered reward; 0 leaves out all retraining."""
    shaped: bool = False
    """Whether fresh policies on a recovered reward are also shaped by the game's critic. Reward
    files hold no critics: what is retrained from disk is not shaped."""
    baselines: bool = True
    """Whether to train on the real reward and on mere survival, beside the recovered reward."""
    evaluation_episodes: int = 100
    """Full episodes behind each reported return."""
    deterministic: bool = True
    """Whether learned policies are evaluated by their mode rather than by samples."""
    algorithm: irl.Config = irl.Config()
    """The game."""
    bc: bc.Config = bc.Config()
    """The baseline."""

    @property
    def imitates(self) -> bool:
        """Whether anything is learned from demonstrations."""
        game = self.algorithm
        is_real = isinstance(game.reward, fixed.Config) and not game.reads_expert
        return not is_real or self.bc_iterations > 0

    @property
    def fresh_learner(self) -> choice.AnyConfig:
        """The learner of fresh policies: that of the game but for its expert rows."""
        return self.algorithm.learner.alone


def study(config: Config, *, imitates: bool = True) -> Study:
    """Read and check everything that the study needs; call what is returned to carry it out.

    What does not imitate has no demonstrations where none are shipped.
    """
    at_least(
        1,
        num_seeds=config.num_seeds,
        iterations=config.iterations,
        chunk=config.chunk,
        evaluation_episodes=config.evaluation_episodes,
    )
    at_least(0, bc_iterations=config.bc_iterations, num_retrained=config.num_retrained)
    problem = read_problem(config, imitates=imitates and config.imitates)
    game = irl.make(config.algorithm, problem.env)
    model: RewardModel = registry.make(config.algorithm.reward, problem.env)
    if problem.demos.action is None:
        # Whatever needs actions says so as soon as it is traced.
        jax.eval_shape(game.init, jax.random.key(config.seed), problem.demos)
    if config.shaped:
        critics.checked(config.algorithm.learner)
    if config.num_retrained:
        retraining.check(model)
    return Study(
        config=config,
        problem=problem,
        cloning=bc.make(config.bc, problem.env),
        game=game,
        model=model,
    )


@dataclasses.dataclass(frozen=True)
class Study:
    """A main study that is ready to begin."""

    config: Config
    problem: Problem
    cloning: Algorithm
    game: Algorithm
    model: RewardModel  # the reward of the game

    @property
    def clones(self) -> bool:
        """Whether the baseline runs, too: of states alone nothing can be cloned."""
        return self.config.bc_iterations > 0 and self.problem.demos.action is not None

    @property
    def notes(self) -> list[str]:
        """What the study makes of the demonstrations, where that is less than there is to them."""
        found, count = [], int(self.problem.demos.count)
        if self.config.bc_iterations and not self.clones:
            found.append("the demonstrations hold no actions: nothing is cloned")
        limit = getattr(self.config.algorithm.reward, "max_rows", count)
        if limit < count:
            found.append(
                f"the reward matches {limit} of {count} demonstrated steps: for more, "
                "--algorithm.reward.max_rows"
            )
        return found

    def __call__(self, session: Session) -> dict[str, Any]:
        """Go through all phases, measure, and fill the run directory; returns the summary."""
        config, problem = self.config, self.problem
        key_bc, key_irl, key_again, key_judge = jax.random.split(jax.random.key(config.seed), 4)
        playing = self.imitating("irl", self.game, key_irl, config.iterations)
        phases = [playing]
        for note in self.notes:
            session.progress.note(note)
        if self.clones:
            phases.insert(0, self.imitating("bc", self.cloning, key_bc, config.bc_iterations))
        # Of the rewards that are still to be recovered the shapes are known, and these suffice to
        # compile what comes after the game.
        blank_params, blank_players = _zeros(jax.eval_shape(self.recovered, playing.states))
        again = self.retraining(blank_params, blank_players, key_again)
        everything = phases + ([] if again is None else [again.phase])
        begin, programs, judges = ahead.prepare(
            lambda: None if again is None else lanes.compile_phase(again.phase),
            lambda: self.compile_judging(everything, again, key_judge),
        )

        outcomes = {}
        for phase in phases:
            first = functools.partial(lanes.compile_phase, phase, traced=begin)
            outcomes[phase.name] = run(phase, session, parts.all_at_once(phase, first))
        reward_params, players = self.recovered(outcomes["irl"].states)
        fresh = self.retraining(reward_params, players, key_again)
        if fresh is not None:
            outcomes["retrain"] = run(
                fresh.phase, session, parts.all_at_once(fresh.phase, lambda _: programs())
            )

        session.progress.note(
            f"playing {config.evaluation_episodes} full episodes with each policy"
        )
        states = {name: outcome.states for name, outcome in outcomes.items()}
        policies, rewards = self.everybody(states, fresh)
        judging = self.judging(policies, rewards, key_judge)
        played = measure.judged(*judging, programs=judges())
        summary = findings.summarise(config, problem, outcomes, played, key_judge)
        judged = {name: one.recovered for name, one in played.items()}
        if len(problem.demos.length):
            expert = findings.expert_under(self.model.score, problem.demos, reward_params)
            judged = {"expert": expert} | judged
        summary["under_recovered_reward"] = {
            name: measure.summarise(one) for name, one in judged.items()
        }
        if session.directory is not None:
            summary |= findings.write(
                session.directory, config, problem, outcomes, policies, reward_params
            )
            session.directory.write_summary(summary)
        return summary

    def imitating(self, name: str, algorithm: Algorithm, key: Key, iterations: int) -> Phase:
        """A phase in which every seed learns from the same demonstrations."""
        return Phase(
            name=name,
            algorithm=algorithm,
            data=self.problem.demos,
            keys=jax.random.split(key, self.config.num_seeds),
            iterations=iterations,
            chunk=self.config.chunk,
        )

    def recovered(self, states: PyTree) -> tuple[PyTree, Policy]:
        """The game's rewards `[S, ...]`, and its policies."""
        return jax.vmap(self.game.reward)(states), measure.stacked_policy(self.game.policy, states)

    def retraining(
        self, reward_params: PyTree, players: Policy, key: Key
    ) -> retraining.Retraining | None:
        """Fresh policies on the game's rewards `[S, ...]`, if any are wanted."""
        config, shaping = self.config, None
        if not config.num_retrained:
            return None
        if config.shaped:
            shaping = critics.of_policies(self.problem.env, config.algorithm.learner, players)
        return retraining.make(
            config.fresh_learner,
            self.model,
            self.problem.env,
            reward_params,
            key,
            per_reward=config.num_retrained,
            iterations=config.iterations,
            chunk=config.chunk,
            baselines=config.baselines,
            shaping=shaping,
        )

    def everybody(
        self, states: dict[str, PyTree], again: retraining.Retraining | None
    ) -> tuple[dict[str, Policy], dict[str, PyTree]]:
        """All policies, stacked by kind, and the recovered reward that goes with each."""
        config, mode = self.config, self.config.deterministic
        policies = {
            "irl": measure.stacked_policy(self.game.policy, states["irl"], deterministic=mode)
        }
        if again is not None:
            policies |= again.policies(states["retrain"], deterministic=mode)
        policies = measure.sharing_act(policies, "irl")
        if "bc" in states:
            # A clone's deviation is mostly its own error: it is judged, generously, by its mode.
            clones = measure.stacked_policy(self.cloning.policy, states["bc"], deterministic=True)
            if config.bc.network == config.algorithm.learner.network:
                clones = measure.still(clones, policies["irl"])
            policies = {"bc": clones} | policies
        reward_params = jax.vmap(self.game.reward)(states["irl"])
        return policies, {
            name: measure.reward_of_each(policy, reward_params) for name, policy in policies.items()
        }

    def judging(
        self, policies: dict[str, Policy], rewards: dict[str, PyTree], key: Key
    ) -> tuple[Any, ...]:
        """What `measure.judged` needs to know."""
        episodes = self.config.evaluation_episodes
        return self.problem.env, policies, key, episodes, self.model.score, rewards

    def compile_judging(
        self, phases: list[Phase], again: retraining.Retraining | None, key: Key
    ) -> dict[tuple[str, ...], Any]:
        """The programs of the last part of the study, before there is anybody to play it."""
        states = {phase.name: phase.states for phase in phases}
        policies, rewards = jax.eval_shape(lambda states: self.everybody(states, again), states)
        return measure.compile_judged(*self.judging(policies, rewards, key))


def _zeros(shapes: PyTree) -> PyTree:
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
