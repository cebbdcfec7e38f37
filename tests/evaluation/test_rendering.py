"""What is drawn is where it should be, and the page needs nobody's server."""

import json
import re
import types

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from PIL import ImageColor

from evil import environments
from evil.errors import UserError
from evil.evaluation import rendering
from evil.evaluation.rendering import classic, locomotion, palette, robots
from evil.evaluation.rendering.recording import Recording, cut
from evil.seams import Policy


def recorded(obs, reward=None, links=()):
    obs = np.asarray(obs, np.float32)
    reward = np.ones(len(obs) - 1) if reward is None else np.asarray(reward)
    return Recording(obs=obs, reward=reward, links=links, length=np.asarray(len(reward)))


@pytest.fixture(scope="module")
def cartpole():
    """Three moments: upright, fallen to the right, and upright two metres further right."""
    env = environments.make("cartpole")
    obs = [[0, 0, 0, 0], [0, 0, np.pi / 2, 0], [2, 0, 0, 0]]
    return rendering.film(env, recorded(obs), "a </script> & <b>title")


@pytest.fixture(scope="module", params=["hopper", "halfcheetah", "ant", "humanoid"])
def posed(request):
    """A robot's model in a posture that nobody designed, according to MuJoCo itself."""
    model, seconds = robots.model(request.param, "positional")
    data = mujoco.MjData(model)
    noise = np.random.default_rng(0).normal(size=model.nv)
    mujoco.mj_integratePos(model, data.qpos, noise, 0.5)
    mujoco.mj_kinematics(model, data)
    return types.SimpleNamespace(name=request.param, model=model, data=data, seconds=seconds)


def test_a_recording_ends_where_the_episode_does(key):
    env = environments.make("cartpole")

    def push_left(params, obs, key, memory):
        return jnp.zeros(len(obs), jnp.int32), memory

    recording = jax.jit(lambda key: rendering.record(env, Policy(params=(), act=push_left), key))(
        key
    )
    whole, ended = recording, cut(recording)
    assert whole.obs.shape == (501, 4)
    assert ended.obs.shape == (int(recording.length) + 1, 4)
    assert 5 < len(ended.reward) == int(recording.length) < 20
    has_fallen = np.abs(ended.obs[:, 2]) > float(env.params.theta_threshold_radians)
    assert has_fallen[-1] and not has_fallen[:-1].any()


def test_a_recording_of_a_robot_has_its_links(key):
    env = environments.make("hopper")

    def rest(params, obs, key, memory):
        return jnp.zeros((len(obs), 3)), memory

    policy = Policy(params=(), act=rest)
    recording = jax.eval_shape(lambda key: rendering.record(env, policy, key), key)
    model, _ = robots.model("hopper", "positional")
    assert [x.shape for x in recording.links] == [
        (1001, model.nbody - 1, 3),
        (1001, model.nbody - 1, 4),
    ]


def test_capsules_are_where_mujoco_puts_them(posed):
    model, data = posed.model, posed.data
    found = robots.capsules(model, data.xpos[None, 1:], data.xquat[None, 1:])
    geoms = robots.bodily(model)
    assert len(found) == len(geoms) == model.ngeom - 1  # all but the ground
    for geom, ends in zip(geoms, found, strict=True):
        is_sphere = model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_SPHERE
        half = 0.0 if is_sphere else model.geom_size[geom, 1]
        axis = data.geom_xmat[geom].reshape(3, 3)[:, 2] * half
        expected = data.geom_xpos[geom] + np.stack([-axis, axis])
        np.testing.assert_allclose(ends[0], expected, atol=1e-6)


def test_the_camera_follows_the_robot(posed):
    position, rotation = (np.tile(x[1:], (60, 1, 1)) for x in (posed.data.xpos, posed.data.xquat))
    position[:, :, 0] += np.linspace(0.0, 30.0, 60)[:, None]
    spec = types.SimpleNamespace(name=posed.name, backend="positional")
    recording = recorded(np.zeros((60, 1)), links=(position, rotation))
    film = locomotion.film(spec, recording, posed.name)  # pyright: ignore
    assert film.seconds == pytest.approx(posed.seconds)
    assert (np.sort(film.order, axis=1) == np.arange(len(film.shapes))).all()
    body = np.concatenate([shape.points for shape in film.shapes if shape.outlined], axis=1)
    assert body[-1, :, 0].mean() - body[0, :, 0].mean() > 25  # it does get somewhere
    distance = np.abs(body - film.focus[:, None])[12:-12]  # the path is smoothed at its ends
    assert distance[..., 0].max() < 0.8 * film.height  # half the width of the picture
    ground = [shape for shape in film.shapes if len(shape.points) == 1]
    assert max(shape.points[0, :, 0].max() for shape in ground) > body[..., 0].max()
    assert [label.text for label in film.labels].count("30 m") == 1


def test_the_near_limb_hides_the_far_one():
    model, _ = robots.model("ant", "positional")
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    links = (data.xpos[None, 1:], data.xquat[None, 1:])
    spec = types.SimpleNamespace(name="ant", backend="positional")
    film = locomotion.film(spec, recorded(np.zeros((1, 1)), links=links), "ant")  # pyright: ignore
    body = len(film.shapes) - len(robots.bodily(model))
    names = [mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_GEOM, g) for g in robots.bodily(model)]
    rank = {name: list(film.order[0]).index(body + index) for index, name in enumerate(names)}
    far, near = "left_ankle_geom", "fourth_ankle_geom"  # at y = +0.6 and y = -0.6
    assert rank[far] < rank["torso_geom"] < rank[near]


def test_every_limb_has_its_colour():
    model, _ = robots.model("walker2d", "positional")
    trunk, *legs = robots.colours(model)
    assert trunk == palette.INK
    assert legs == [palette.BLUE] * 3 + [palette.ORANGE] * 3
    model, _ = robots.model("humanoid", "positional")
    assert len(set(robots.colours(model))) == 5  # trunk, two legs, two arms


@pytest.mark.parametrize("view", [robots.SIDE, robots.OBLIQUE])
def test_cameras_are_orthonormal(view):
    directions = np.stack([view.right, view.up, view.away])
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-12)
    forward, upward = view.flatten(np.array([[1.0, 0, 0], [0, 0, 1.0]]))
    assert forward[0] > 0.9 and upward[1] > 0.9


def test_cartpole_leans_the_way_it_falls(cartpole):
    (pole,) = [shape for shape in cartpole.shapes if shape.colour == palette.BLUE]
    np.testing.assert_allclose(pole.points[:, 1], [(0, 1), (1, 0), (2, 1)], atol=1e-6)


def test_pendulum_is_upright_at_angle_zero():
    env = environments.make("pendulum")
    film = rendering.film(env, recorded([[1, 0, 0], [0, 1, 0]]), "pendulum")
    (rod,) = [shape for shape in film.shapes if shape.colour == palette.BLUE]
    np.testing.assert_allclose(rod.points[:, 1], [(0, 1), (-1, 0)], atol=1e-6)


def test_reacher_ends_at_the_sum_of_its_links():
    env = environments.make("reacher")
    a, b = 0.3, 2.0
    obs = [np.cos(a), np.cos(b), np.sin(a), np.sin(b), 0, 0, 0.5, -0.25]
    film = rendering.film(env, recorded([obs]), "reacher")
    hand = [shape for shape in film.shapes if shape.colour == palette.ORANGE][-1]
    expected = [np.cos(a) + np.cos(b), np.sin(a) + np.sin(b)]
    np.testing.assert_allclose(hand.points[0, 0], expected, atol=1e-6)
    goals = [shape for shape in film.shapes if shape.colour == palette.AMBER]
    np.testing.assert_allclose(goals[0].points[0, 0], [0.5, -0.25], atol=1e-6)


def test_gridworld_turns_green_when_the_goal_is_found():
    env = environments.make("gridworld")
    cells = [(1, 4, 0), (0, 4, 1), (0, 3, 1)]  # row, column, found
    obs = [[row / 5, column / 5, 0, 4 / 5, found] for row, column, found in cells]
    film = rendering.film(env, recorded(obs, reward=[1.0, 0.0]), "gridworld")
    assert film.num_frames == 2 * classic.SUBFRAMES + 1
    (paid,) = [shape for shape in film.shapes if shape.colour == palette.GREEN]
    assert np.isnan(paid.points[: classic.SUBFRAMES]).all()
    np.testing.assert_allclose(paid.points[classic.SUBFRAMES, 0], [4, 0], atol=1e-5)
    np.testing.assert_allclose(paid.points[-1, 0], [3, 0], atol=1e-5)
    assert film.captions[0].endswith("0.0") and film.captions[-1].endswith("1.0")


def test_walls_of_a_maze_are_drawn():
    env = environments.make("gridworld")
    walled = env.params.__class__(maze=env.params.maze.at[2, 1].set(False), goal=env.params.goal)
    env = types.SimpleNamespace(spec=env.spec, params=walled)
    film = rendering.film(env, recorded([[0, 0, 0, 0.8, 0]]), "gridworld")  # pyright: ignore
    (block,) = [shape for shape in film.shapes if shape.colour == palette.QUIET]
    np.testing.assert_allclose(block.points[0].mean(0), [1, -2])


def test_pictures_show_the_pole(cartpole):
    images = rendering.pictures(cartpole)
    assert [image.size for image in images] == [(640, 400)] * 3
    scale = 400 / cartpole.height

    def colour(image, x, y):
        column = 320 + (x - cartpole.focus[0, 0]) * scale
        row = 200 - (y - cartpole.focus[0, 1]) * scale
        return image.convert("RGB").getpixel((round(column), round(row)))

    blue, paper = (ImageColor.getrgb(name) for name in (palette.BLUE, palette.PAPER))
    halfway = [(0.0, 0.5), (0.5, 0.0), (2.0, 0.5)]  # up the pole, in each picture
    assert [colour(image, *at) for image, at in zip(images, halfway, strict=True)] == [blue] * 3
    assert colour(images[2], 0.0, 0.5) == paper
    assert len({bytes(image.palette.palette) for image in images}) == 1


def test_films_can_be_thinned_and_shortened(cartpole):
    thin = rendering.every(cartpole, 2)
    assert thin.captions == (cartpole.captions[0], cartpole.captions[2])
    assert thin.seconds == pytest.approx(2 * cartpole.seconds)
    assert rendering.every(cartpole, 50).captions[-1] == cartpole.captions[-1]
    short = rendering.first(cartpole, 0.02)
    assert short.num_frames == len(short.focus) == len(short.order) == 2
    assert all(len(shape.points) in (1, 2) for shape in short.shapes)


def test_pictures_last_as_long_as_what_they_show():
    film = types.SimpleNamespace(num_frames=101, seconds=0.045)
    shown = rendering.durations(film)  # pyright: ignore
    assert all(x % 10 == 0 for x in shown)
    assert sum(shown[:-1]) == pytest.approx(4500, abs=10)
    assert shown[-1] > 500


def test_page_has_the_film_and_asks_no_server(cartpole):
    page = rendering.page(cartpole)
    assert not re.search(r"https?:|//[a-z]|\bsrc\s*=|\bhref\s*=|url\(|@import|\bimport\b", page)
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|sendBeacon|EventSource", page)
    assert "default-src 'none'" in page
    assert page.count("</script>") == 2 and "<b>" not in page.split("<script")[0]
    assert "__" not in page
    found = json.loads(re.search(r'<script id="film"[^>]*>(.*?)</script>', page, re.DOTALL)[1])
    assert found["title"] == cartpole.title
    assert found["captions"] == list(cartpole.captions)
    (pole,) = [shape for shape in found["shapes"] if shape["colour"] == palette.BLUE]
    assert pole["points"] == [[0, 0, 0, 1], [0, 0, 1, 0], [2, 0, 2, 1]]


def test_what_cannot_be_drawn_is_said_at_once():
    with pytest.raises(UserError, match=r"Acrobot-v1 cannot be rendered.*cartpole.*hopper"):
        rendering.check(environments.make("Acrobot-v1").spec)
