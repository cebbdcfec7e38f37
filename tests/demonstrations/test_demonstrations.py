import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import demonstrations
from evil.errors import UserError

LENGTHS = (3, 5, 2)


def make(lengths=LENGTHS, discrete=True):
    """Observation t of episode e is [10e + t, 1]; its reward t; episode 0 and 2 terminate."""
    return demonstrations.from_episodes(
        [
            {
                "obs": np.stack([10 * e + np.arange(n + 1), np.ones(n + 1)], axis=1),
                "action": np.arange(n) % 2 if discrete else np.full((n, 3), 0.1 * e),
                "reward": np.arange(n),
                "terminated": e % 2 == 0,
            }
            for e, n in enumerate(lengths)
        ]
    )


def observed(demos):
    return demonstrations.moments_of(demos, lambda steps: steps.obs)


def used(demos):
    """The first observation feature of every step in use."""
    rows = demos.rows[: int(demos.count)]
    return demonstrations.transitions(demos, rows).obs[:, 0].astype(int).tolist()


def test_episodes_are_padded_and_every_step_is_in_use():
    demos = make()
    assert demos.obs.shape == (3, 6, 2) and demos.obs.dtype == jnp.float32
    assert demos.action.shape == (3, 5) and demos.action.dtype == jnp.int32
    assert make(discrete=False).action.shape == (3, 5, 3)
    assert demos.length.tolist() == list(LENGTHS)
    assert int(demos.count) == 10
    assert used(demos) == [0, 1, 2, 10, 11, 12, 13, 14, 20, 21]


def test_transitions_know_their_successor_and_how_an_episode_ended():
    demos = make()
    rows = jnp.array([[1, 2], [5, 9]])  # T = 5: episode 0 steps 1 and 2, episode 1 steps 0 and 4
    found = demonstrations.transitions(demos, rows)
    assert found.obs[..., 0].tolist() == [[1, 2], [10, 14]]
    assert found.next_obs[..., 0].tolist() == [[2, 3], [11, 15]]
    assert found.reward.tolist() == [[1, 2], [0, 4]]
    assert found.terminated.tolist() == [[False, True], [False, False]]
    assert found.truncated.tolist() == [[False, False], [False, True]]


def test_samples_are_uniform_over_valid_rows_only():
    demos = make()
    half = demos.__class__(**{**vars(demos), "count": jnp.int32(4)})
    sample = jax.jit(demonstrations.sample, static_argnums=2)
    found = np.asarray(sample(jax.random.key(0), half, 4000).obs[:, 0])
    values, counts = np.unique(found, return_counts=True)
    assert values.tolist() == [0, 1, 2, 10]
    # 1000 expected each, standard deviation sqrt(4000 · ¼ · ¾) = 27
    assert np.all(np.abs(counts - 1000) < 130)


def test_selections_vmap_over_the_same_episodes():
    demos = make()
    rows = jnp.array([[0, 1, 0], [6, 7, 8]])  # observations 0, 1, padding; 11, 12, 13
    batch = demos.__class__(**{**vars(demos), "rows": rows, "count": jnp.array([2, 3])})
    axes = demos.__class__(**{**dict.fromkeys(vars(demos)), "rows": 0, "count": 0})
    found = jax.vmap(observed, in_axes=(axes,))(batch)
    np.testing.assert_allclose(found.mean[:, 0], [0.5, 12.0], rtol=1e-6)
    np.testing.assert_allclose(found.variance[:, 0], [0.25, 2 / 3], rtol=1e-6)


def test_moments_ignore_padding_and_unused_rows():
    demos = make()
    found = jax.jit(observed)(demos)
    valid = np.array(used(demos), np.float32)
    assert found.count == demos.count
    np.testing.assert_allclose(found.mean, [valid.mean(), 1.0], rtol=1e-6)
    np.testing.assert_allclose(found.variance, [valid.var(), 0.0], rtol=1e-6)


def test_returns_sum_the_steps_of_each_episode():
    demos = make()
    poisoned = demos.__class__(**{**vars(demos), "reward": demos.reward.at[0, 3:].set(99.0)})
    assert demonstrations.returns(poisoned).tolist() == [3.0, 10.0, 1.0]


def test_choose_takes_the_first_episodes():
    chosen = demonstrations.choose(make(), num_demos=1)
    assert used(chosen) == [0, 1, 2]
    assert chosen.obs.shape == (1, 4, 2)  # trimmed to the longest that is left


def test_rows_are_renumbered_when_the_longest_episode_goes():
    chosen = demonstrations.choose(make((3, 2, 5)), num_demos=2)
    assert chosen.action.shape == (2, 3)
    assert used(chosen) == [0, 1, 2, 10, 11]
    _, held_out = demonstrations.split(make((5, 2, 3)), 0.7)
    assert used(held_out) == [10, 11, 20, 21, 22]


def test_choose_takes_every_kth_step_from_an_offset_per_episode():
    # offsets floor(2 · frac(0.618 e)) = 0, 1, 0; episodes 0 and 2 end in 2 and 21
    assert used(demonstrations.choose(make(), subsample=2)) == [0, 2, 11, 13, 20, 21]
    # floor(20 · ·) = 0, 12, 4, capped at the last step: every episode keeps one
    assert used(demonstrations.choose(make(), subsample=20)) == [0, 2, 14, 20, 21]


def test_ends_are_kept_and_drawn_as_often_as_if_they_had_been_thinned():
    whole = make((9, 5))  # the first terminates
    chosen = demonstrations.choose(whole, subsample=4)
    assert used(chosen) == [0, 4, 8, 12]
    assert demonstrations.choose(whole).end_weight is None
    np.testing.assert_allclose(chosen.end_weight, 0.25)
    found = jax.jit(demonstrations.sample, static_argnums=2)(jax.random.key(0), chosen, 13_000)
    values, counts = np.unique(np.asarray(found.obs[:, 0]), return_counts=True)
    assert values.tolist() == [0, 4, 8, 12]
    # 4000 expected, and 1000 of the end; standard deviations up to sqrt(13000 · 4/13 · 9/13) = 53
    assert np.all(np.abs(counts - [4000, 4000, 1000, 4000]) < 250)
    np.testing.assert_allclose(demonstrations.choose(chosen, subsample=2).end_weight, 0.125)
    cut = whole.__class__(**{**vars(whole), "terminated": jnp.zeros(2, bool)})
    cut = demonstrations.choose(cut, subsample=4)
    assert cut.end_weight is None and used(cut) == [0, 4, 8, 12]


def test_selections_are_what_would_be_chosen_one_by_one():
    demos = make()
    found = demonstrations.selections(demos, [1, 3])
    assert found.count.tolist() == [3, sum(LENGTHS)]
    for index, number in enumerate((1, 3)):
        rows, count = found.rows[index], int(found.count[index])
        alone = demonstrations.choose(demos, number)
        ours = demonstrations.transitions(found, rows[:count])
        theirs = demonstrations.transitions(alone, alone.rows)
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    axes = demonstrations.selection_axes()
    means = jax.vmap(lambda one: observed(one).mean, in_axes=(axes,))(found)
    np.testing.assert_allclose(means[0], observed(demonstrations.choose(demos, 1)).mean)
    with pytest.raises(UserError, match="asked for 4 demonstrations, but there are 3"):
        demonstrations.selections(demos, [1, 4])


def test_choose_twice_subsamples_what_is_left():
    once = demonstrations.choose(make((8,)), subsample=2)
    assert used(demonstrations.choose(once, subsample=2)) == [0, 4, 7]


@pytest.mark.parametrize("num_demos", [0, 4])
def test_choose_says_how_many_there_are(num_demos):
    with pytest.raises(UserError, match=f"asked for {num_demos} .*but there are 3: record more"):
        demonstrations.choose(make(), num_demos)


def test_choose_rejects_a_subsample_of_zero():
    with pytest.raises(UserError, match="subsample"):
        demonstrations.choose(make(), subsample=0)


def test_split_by_episodes_holds_out_the_last():
    training, held_out = demonstrations.split(make(), 0.3)
    assert used(training) == [0, 1, 2, 10, 11, 12, 13, 14]
    assert used(held_out) == [20, 21]
    assert held_out.terminated.tolist() == [True]


def test_split_by_steps_spreads_over_one_episode():
    training, held_out = demonstrations.split(make((10,)), 0.2, by="steps")
    assert used(held_out) == [2, 7]
    assert used(training) == [0, 1, 3, 4, 5, 6, 8, 9]


def test_split_needs_two_of_what_it_splits():
    with pytest.raises(UserError, match="1 episodes"):
        demonstrations.split(make((4,)), 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"obs": np.zeros((3, 2))}, "episode 0: 3 observations, 3 actions"),
        ({"reward": np.zeros(2)}, r"rewards of shape \(2,\)"),
    ],
)
def test_episodes_with_wrong_lengths_are_refused(change, message):
    episode = {"obs": np.zeros((4, 2)), "action": np.zeros(3, int)}
    with pytest.raises(UserError, match=message):
        demonstrations.from_episodes([episode | change])


def test_episodes_may_be_of_states_alone():
    ours = {"obs": np.arange(6.0).reshape(3, 2), "terminated": True}
    demos = demonstrations.from_episodes([ours])
    found = demonstrations.transitions(demos, demos.rows)
    assert found.action is None and found.next_obs[:, 0].tolist() == [2, 4]
    assert found.terminated.tolist() == [False, True]
    with pytest.raises(UserError, match="cloning needs the expert's actions"):
        demonstrations.actions_for(demos, "cloning")
    with pytest.raises(UserError, match="episode 1: expected actions in all episodes or in none"):
        demonstrations.from_episodes([ours, ours | {"action": np.zeros(2, int)}])
    with pytest.raises(UserError, match="1 observations, 0 actions"):
        demonstrations.from_episodes([{"obs": np.zeros((1, 2))}])


def test_episodes_must_agree_and_exist():
    ours = {"obs": np.zeros((3, 2)), "action": np.zeros(2, int)}
    with pytest.raises(UserError, match="episode 1: each action is float32"):
        demonstrations.from_episodes([ours, ours | {"action": np.zeros((2, 1))}])
    with pytest.raises(UserError, match="at least one episode"):
        demonstrations.from_episodes([])
