"""Policy distributions against numerical integrals over their actions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import distributions
from evil.errors import UserError
from evil.seams import Spec

LOW, HIGH = -2.0, 2.0
NUM = 20_000


def vectors(low=(LOW,), high=(HIGH,)):
    return Spec(
        name="vectors",
        obs_shape=(1,),
        time_limit=1,
        action_size=len(low),
        action_low=low,
        action_high=high,
    )


DISCRETE = Spec(name="indices", obs_shape=(1,), time_limit=1, num_actions=3)
LOGITS = jnp.log(jnp.array([0.2, 0.5, 0.3])) + 7.0  # not normalised


def normal(mean, std, rows=None):
    """Outputs of a Gaussian actor, `[A]` or repeated to `[rows, A]`."""
    outputs = {"mean": jnp.array(mean), "log_std": jnp.log(jnp.array(std))}
    if rows is None:
        return outputs
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (rows, *x.shape)), outputs)


def grid(low, high, cells):
    """Midpoints of equal cells, `[cells]`, and the width of one."""
    width = (high - low) / cells
    return low + width * (np.arange(cells) + 0.5), width


def action_density(family, mean, std):
    """Actions on a grid over the interval, and the density of each."""
    actions, width = grid(LOW, HIGH, NUM)
    latents = family.invert(jnp.asarray(actions, jnp.float32)[:, None])
    log_prob = family.log_prob(normal([mean], [std], NUM), latents)
    # Densities are per unit of half the interval, here 2.
    return actions, np.exp(np.asarray(log_prob, np.float64)) / ((HIGH - LOW) / 2), width


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.5), (0.7, 0.3), (-0.5, 1.0), (0.3, 0.05)])
def test_tanh_gaussian_integrates_to_one_over_the_actions(mean, std):
    family = distributions.make("tanh_gaussian", vectors())
    _, density, width = action_density(family, mean, std)
    np.testing.assert_allclose(density.sum() * width, 1.0, atol=2e-3)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.5), (0.7, 2.0)])
def test_gaussian_integrates_to_one_over_the_latents(mean, std):
    family = distributions.make("gaussian", vectors())
    latents, width = grid(-20.0, 20.0, NUM)
    latents = jnp.asarray(latents, jnp.float32)[:, None]
    density = jnp.exp(family.log_prob(normal([mean], [std], NUM), latents))
    np.testing.assert_allclose(density.sum() * width, 1.0, rtol=1e-3)


@pytest.mark.parametrize("name", ["gaussian", "tanh_gaussian"])
def test_components_are_independent(name):
    pair = distributions.make(name, vectors((-1.0, -2.0), (1.0, 6.0)))
    one = distributions.make(name, vectors())
    found = pair.log_prob(normal([0.1, -0.4], [0.5, 2.0]), jnp.array([0.3, 0.9]))
    parts = [
        one.log_prob(normal([mean], [std]), jnp.array([latent]))
        for mean, std, latent in ((0.1, 0.5, 0.3), (-0.4, 2.0, 0.9))
    ]
    assert found.shape == ()
    np.testing.assert_allclose(found, sum(parts), rtol=1e-5)


def test_tanh_gaussian_samples_its_density(key):
    family = distributions.make("tanh_gaussian", vectors())
    latents = family.sample(normal([0.4], [0.7], NUM), key)
    assert latents.shape == (NUM, 1)
    sampled = np.asarray(family.apply(latents))[:, 0]
    actions, density, width = action_density(family, 0.4, 0.7)
    for threshold in (-1.0, 0.0, 0.8, 1.5):
        expected = density[actions <= threshold].sum() * width
        # Standard errors are at most 1 / 2√20000 = 0.0035.
        np.testing.assert_allclose((sampled <= threshold).mean(), expected, atol=0.015)


def test_gaussian_samples_its_density(key):
    family = distributions.make("gaussian", vectors())
    sampled = np.asarray(family.sample(normal([0.4], [0.7], NUM), key))[:, 0]
    latents, width = grid(-10.0, 10.0, NUM)
    log_prob = family.log_prob(
        normal([0.4], [0.7], NUM), jnp.asarray(latents, jnp.float32)[:, None]
    )
    for threshold in (-0.5, 0.4, 1.1):
        expected = np.exp(log_prob)[latents <= threshold].sum() * width
        np.testing.assert_allclose((sampled <= threshold).mean(), expected, atol=0.015)


def test_categorical_by_hand(key):
    family = distributions.make("categorical", DISCRETE)
    outputs = {"logits": LOGITS}
    log_prob = jax.vmap(lambda action: family.log_prob(outputs, action))(jnp.arange(3))
    np.testing.assert_allclose(jnp.exp(log_prob), [0.2, 0.5, 0.3], rtol=1e-5)
    np.testing.assert_allclose(
        family.entropy(outputs, key), -np.sum([p * np.log(p) for p in (0.2, 0.5, 0.3)]), rtol=1e-5
    )
    sampled = family.sample({"logits": jnp.broadcast_to(LOGITS, (NUM, 3))}, key)
    assert sampled.dtype == jnp.int32
    np.testing.assert_allclose(np.bincount(sampled) / NUM, [0.2, 0.5, 0.3], atol=0.015)
    assert family.mode(outputs) == 1
    np.testing.assert_array_equal(family.apply(jnp.arange(3)), jnp.arange(3))
    np.testing.assert_array_equal(family.invert(jnp.arange(3)), jnp.arange(3))


def test_modes_by_hand():
    # centre 3, half width 1; the gaussian's mean of 1.5 half widths is clipped at the bound
    spec = vectors((2.0, 2.0), (4.0, 4.0))
    outputs = normal([0.5, 1.5], [0.1, 0.1])
    gaussian = distributions.make("gaussian", spec)
    np.testing.assert_allclose(gaussian.apply(gaussian.mode(outputs)), [3.5, 4.0], rtol=1e-6)
    tanh = distributions.make("tanh_gaussian", spec)
    expected = 3.0 + np.tanh([0.5, 1.5])
    np.testing.assert_allclose(tanh.apply(tanh.mode(outputs)), expected, rtol=1e-6)


def test_gaussian_entropy_by_hand(key):
    # Σ ln(σ √(2πe)), of the latents
    family = distributions.make("gaussian", vectors((-1.0, -2.0), (1.0, 6.0)))
    found = family.entropy(normal([0.3, 5.0], [0.5, 2.0]), key)
    expected = np.log(0.5) + np.log(2.0) + np.log(2 * np.pi * np.e)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_tanh_gaussian_entropy_is_unbiased(key):
    family = distributions.make("tanh_gaussian", vectors())
    _, density, width = action_density(family, 0.4, 0.7)
    unit = density[density > 0] * 2  # per unit of half the interval, as log-probabilities are
    expected = -np.sum(unit * np.log(unit)) * width / 2
    found = family.entropy(normal([0.4], [0.7], NUM), key)
    assert found.std() > 0.1  # rows are estimates of their own
    np.testing.assert_allclose(found.mean(), expected, atol=0.02)


def test_squash_slope_far_from_the_centre():
    from evil.distributions.tanh_gaussian import log_squash_slope

    near = np.array([-3.0, -0.5, 0.0, 1.0, 2.0])
    found = log_squash_slope(jnp.asarray(near, jnp.float32))
    np.testing.assert_allclose(found, np.log1p(-(np.tanh(near) ** 2)), rtol=1e-4, atol=1e-6)
    # 1 - tanh²u = 1 / cosh²u, which is 4 exp(-2|u|) far out
    found = log_squash_slope(jnp.array([-50.0, 50.0]))
    np.testing.assert_allclose(found, [np.log(4.0) - 100] * 2, rtol=1e-5)


@pytest.mark.parametrize("latent", [-50.0, 50.0])
def test_extreme_latents_stay_finite(latent):
    family = distributions.make("tanh_gaussian", vectors())
    # ln N(50; 0, 1) - ln(1 - tanh²50)
    expected = -(50.0**2) / 2 - np.log(2 * np.pi) / 2 - np.log(4.0) + 100

    def log_prob(mean, log_std, latent):
        return family.log_prob({"mean": mean, "log_std": log_std}, latent)

    arguments = (jnp.zeros(1), jnp.zeros(1), jnp.array([latent]))
    value, gradients = jax.value_and_grad(log_prob, (0, 1, 2))(*arguments)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    # d/dμ = u, d/d ln σ = u² - 1, d/du = -u + 2 tanh u
    expected = [[latent], [2499.0], [-latent + 2 * np.sign(latent)]]
    np.testing.assert_allclose(gradients, expected, rtol=1e-5)
    action = family.apply(jnp.array([latent]))
    np.testing.assert_allclose(action, [HIGH * np.sign(latent)])
    assert jnp.isfinite(family.invert(action)).all()


@pytest.mark.parametrize(("name", "reach"), [("gaussian", 0.999), ("tanh_gaussian", 3.0)])
def test_invert_undoes_apply_inside_the_bounds(name, reach):
    family = distributions.make(name, vectors((-2.0, 0.0), (2.0, 0.5)))
    latents = jnp.linspace(-reach, reach, 22).reshape(11, 2)
    np.testing.assert_allclose(family.invert(family.apply(latents)), latents, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "tanh_gaussian"])
def test_apply_undoes_invert_up_to_the_bounds(name):
    family = distributions.make(name, vectors((-2.0, 0.0), (2.0, 0.5)))
    actions = jnp.array([[-2.0, 0.5], [2.0, 0.0], [0.3, 0.1]])
    latents = family.invert(actions)
    assert jnp.isfinite(latents).all()
    np.testing.assert_allclose(family.apply(latents), actions, atol=1e-5)


def test_bounds_by_hand():
    # centre and half width: 0 and 2; 1 and 3
    spec = vectors((-2.0, -2.0), (2.0, 4.0))
    latents = jnp.array([[0.0, 0.0], [0.5, 0.5], [1.0, -1.0], [9.0, -9.0]])
    found = distributions.make("gaussian", spec).apply(latents)
    expected = [[0.0, 1.0], [1.0, 2.5], [2.0, -2.0], [2.0, -2.0]]  # the last one clipped
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    found = distributions.make("tanh_gaussian", spec).apply(latents)
    squashed = np.tanh(np.asarray(latents))
    np.testing.assert_allclose(found, squashed * [2.0, 3.0] + [0.0, 1.0], rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "outputs", "has_log_std"),
    [(DISCRETE, 3, False), (vectors((-1.0, -1.0), (1.0, 1.0)), 2, True)],
)
def test_auto_fits_the_actions(spec, outputs, has_log_std):
    family = distributions.make("auto", spec)
    assert (family.num_outputs, family.has_log_std) == (outputs, has_log_std)


@pytest.mark.parametrize(
    ("name", "spec", "kind"),
    [
        ("categorical", vectors(), "action vectors"),
        ("gaussian", DISCRETE, "discrete actions"),
        ("tanh_gaussian", DISCRETE, "discrete actions"),
    ],
)
def test_the_wrong_family_is_the_users_error(name, spec, kind):
    with pytest.raises(UserError, match=f"{name}.*{spec.name}.*{kind}"):
        distributions.make(name, spec)


def test_an_unknown_family_has_near_names():
    with pytest.raises(UserError, match="did you mean gaussian"):
        distributions.make("gausian", vectors())
