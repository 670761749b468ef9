"""The embedded face model and the subdivision that it is loaded through."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import relightify_jax
from relightify_jax.geometry import subdivision
from relightify_jax.geometry.embedded import (
    EYE_IRIS_RADIUS,
    QuadPoints,
    load_embedded_model,
    points_on_triangles,
    subdivide_points,
)
from relightify_jax.geometry.morphable_model import PARTS, landmarks, vertices

ASSET = pathlib.Path(relightify_jax.__file__).parent / "assets" / "face_model.npz"
ARKIT_PAIRS = (
    *("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn"),
    *("eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown"),
    *("mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer"),
)
ARKIT_SINGLE = (
    *("browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight"),
    *("mouthClose", "mouthFunnel", "mouthLeft", "mouthPucker", "mouthRight"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "tongueOut"),
)
ARKIT = {f"{name}{side}" for name in ARKIT_PAIRS for side in ("Left", "Right")} | set(ARKIT_SINGLE)
# FaceMesh numbers.
NOSE_TIP, FOREHEAD, CHIN, UPPER_LIP, LOWER_LIP = 1, 10, 152, 13, 14
UPPER_LID_LEFT, LOWER_LID_LEFT, EYE_LEFT, EYE_RIGHT = 386, 374, 263, 33


def part_faces(model, name, field="faces"):
    return np.asarray(getattr(model, field))[np.asarray(model.face_part) == PARTS.index(name)]


def upright_areas(uv, triangles):
    """Areas that are positive if a triangle is counter-clockwise to the eye (v down)."""
    a, b, c = np.moveaxis(np.asarray(uv, np.float64)[triangles], 1, 0)
    u, v = b - a, c - a
    return (u[:, 1] * v[:, 0] - u[:, 0] * v[:, 1]) / 2


def times_covered(uv, triangles, size=400):
    """How many triangles hold each of size x size points of the tile in their inside."""
    corner = np.asarray(uv, np.float64)[triangles] * size
    low = np.floor(corner.min(1)).astype(int)
    width, height = (np.ceil(corner.max(1)).astype(int) - low).T
    count = np.zeros((size, size), int)
    for dy in range(height.max()):
        for dx in range(width[height > dy].max()):
            wide = (height > dy) & (width > dx)
            cell = low[wide] + [dx, dy]
            u, v = np.moveaxis(corner[wide] - (cell + 0.5)[:, None], -1, 0)
            side = np.roll(u, -1, 1) * v - u * np.roll(v, -1, 1)
            inside = (side > 1e-9).all(axis=1)
            x, y = np.clip(cell[inside], 0, size - 1).T
            np.add.at(count, (y, x), 1)
    return count


def fit_sphere(points):
    """Least-squares centre (3,) and radius."""
    points = points.astype(np.float64)
    design = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(design, (points**2).sum(1), rcond=None)[0]
    return solution[:3], np.sqrt(solution[3] + (solution[:3] ** 2).sum())


def pose(model, **weights):
    expression = np.zeros(len(model.expression_names), np.float32)
    for name, weight in weights.items():
        expression[model.expression_names.index(name)] = weight
    return vertices(model, jnp.zeros(0), jnp.asarray(expression))


def random_heads(model, count):
    codes = jax.random.normal(jax.random.key(0), (count, 80))
    return [np.asarray(vertices(model, code, jnp.zeros(0))) for code in codes]


def test_the_asset_is_small_and_needs_no_pickle():
    assert ASSET.stat().st_size < 4 * 2**20
    with np.load(ASSET, allow_pickle=False) as archive:
        assert all(np.asarray(archive[name]).dtype != object for name in archive.files)


def test_arrays_agree_in_shape_and_range(embedded_model):
    model = embedded_model
    num_vertices, num_faces = model.mean.shape[0], model.faces.shape[0]
    assert 19_000 < num_vertices < 22_000 and 37_000 < num_faces < 42_000
    assert model.identity.shape == (80, num_vertices, 3)
    assert model.expression.shape == (52, num_vertices, 3)
    assert model.uv_faces.shape == (num_faces, 3) and model.face_part.shape == (num_faces,)
    assert model.landmark_vertices.shape == (468, 3)
    assert int(model.faces.max()) == num_vertices - 1 and int(model.faces.min()) == 0
    assert int(model.uv_faces.max()) == len(model.uv) - 1
    assert float(model.uv.min()) >= 0 and float(model.uv.max()) <= 1
    assert (np.diff(np.asarray(model.face_part)) >= 0).all()
    assert set(np.asarray(model.face_part).tolist()) == set(range(len(PARTS)))
    np.testing.assert_array_equal(model.faces, subdivision.triangulate(model.quads))


def test_the_model_is_one_object_and_passes_through_jit():
    model = load_embedded_model()
    assert load_embedded_model() is model
    evaluate = jax.jit(vertices)
    first = evaluate(model, jnp.zeros(3), jnp.zeros(2))
    again = evaluate(model.replace(mean=model.mean + 1.0), jnp.zeros(3), jnp.zeros(2))
    np.testing.assert_allclose(again - first, 1.0, atol=1e-6)


def test_axes_units_and_origin(embedded_model):
    model = embedded_model
    mean = np.asarray(model.mean)
    places = np.asarray(landmarks(model, model.mean))
    assert 0.2 < np.ptp(mean[:, 1]) < 0.4
    assert places[NOSE_TIP, 2] > places[:, 2].max() - 0.003
    assert places[FOREHEAD, 1] > places[NOSE_TIP, 1] > places[CHIN, 1]
    assert places[EYE_LEFT, 0] > 0.03 and places[EYE_RIGHT, 0] < -0.03
    centres = [
        mean[np.unique(part_faces(model, name))][:, :2].mean(0)
        for name in ("eye_left", "eye_right")
    ]
    np.testing.assert_allclose(np.mean(centres, axis=0), 0.0, atol=1e-3)


@pytest.mark.parametrize("part", ["face", "head", "eye_left", "eye_right"])
def test_tiles_have_no_fold_and_no_overlap(embedded_model, part):
    triangles = part_faces(embedded_model, part, "uv_faces")
    assert upright_areas(embedded_model.uv, triangles).min() > 0
    covered = times_covered(embedded_model.uv, triangles)
    assert covered.max() == 1
    assert covered.mean() > (0.94 if part == "face" else 0.5)


def test_parts_share_no_texture_coordinate(embedded_model):
    used = [set(part_faces(embedded_model, part, "uv_faces").ravel().tolist()) for part in PARTS]
    assert sum(map(len, used)) == len(set.union(*used)) == len(embedded_model.uv)


def test_the_skin_is_closed_but_for_the_bust(embedded_model):
    """Every edge has two triangles, except at the bust, behind the eyeballs and at the gums."""
    faces = np.asarray(embedded_model.faces)
    sides = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    directed = {tuple(side) for side in sides.tolist()}
    assert len(directed) == len(sides)  # Neighbours agree in orientation.
    mean = np.asarray(embedded_model.mean)
    following = {a: b for a, b in directed if (b, a) not in directed}
    loops = []
    while following:
        loop = [next(iter(following))]
        while loop[-1] in following:
            loop.append(following.pop(loop[-1]))
        assert loop[0] == loop[-1]
        loops.append(mean[loop[:-1]])
    assert len(loops) == 5
    bust = min(loops, key=lambda loop: loop[:, 1].mean())
    assert bust[:, 1].max() < -0.15
    assert all(loop[:, 1].min() > -0.1 for loop in loops if loop is not bust)


def test_normals_point_outwards(embedded_model):
    mean = np.asarray(embedded_model.mean, np.float64)
    for part in ("face", "head", "eye_left", "eye_right"):
        corners = mean[part_faces(embedded_model, part)]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        # The flux of the position through an outward surface around the origin is positive.
        centre = [0, -0.04, -0.07] if part in ("face", "head") else corners.mean((0, 1))
        outward = (normal * (corners.mean(1) - centre)).sum(1)
        assert outward.sum() > 0
        assert part in ("face", "head") or outward.min() > 0


def test_the_eye_tile_is_centred_on_the_gaze(embedded_model):
    mean = np.asarray(embedded_model.mean)
    for part in ("eye_left", "eye_right"):
        corners = part_faces(embedded_model, part).ravel()
        uv = np.asarray(embedded_model.uv)[part_faces(embedded_model, part, "uv_faces").ravel()]
        offset = mean[corners] - mean[corners].mean(0)
        front = np.linalg.norm(uv - 0.5, axis=1) < 0.03
        assert mean[corners][front][:, 2].min() > mean[corners][:, 2].max() - 5e-4
        iris = np.abs(np.linalg.norm(uv - 0.5, axis=1) - EYE_IRIS_RADIUS) < 0.01
        radius = np.ptp(mean[corners][iris][:, 0]) / 2
        assert 0.0052 < radius < 0.0066  # Human irises are 5.9 mm in radius.
        # Seen from the front: +X is right, +Y is up.
        near = np.linalg.norm(uv - 0.5, axis=1) < 0.3
        assert np.corrcoef(offset[near, 0], uv[near, 0])[0, 1] > 0.95
        assert np.corrcoef(offset[near, 1], -uv[near, 1])[0, 1] > 0.95


def test_random_heads_stay_heads(embedded_model):
    """No draw from N(0, 1) tears the mesh, and eyeballs stay spheres within their lids."""
    model = embedded_model
    faces = np.asarray(model.faces)
    edges = np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), 1), axis=0)
    lengths = np.linalg.norm(np.diff(np.asarray(model.mean)[edges], axis=1)[:, 0], axis=1)
    skin = np.unique(part_faces(model, "face"))
    for head in random_heads(model, 8):
        assert np.abs(head - np.asarray(model.mean)).max() < 0.06
        ratio = np.linalg.norm(np.diff(head[edges], axis=1)[:, 0], axis=1) / lengths
        assert 0.4 < np.quantile(ratio, 0.01) and np.quantile(ratio, 0.99) < 2.0
        assert 0.25 < np.quantile(ratio, 0.001) and np.quantile(ratio, 0.999) < 4.0
        for part in ("eye_left", "eye_right"):
            ball = np.unique(part_faces(model, part))
            centre, radius = fit_sphere(head[ball])
            distance = np.linalg.norm(head[ball] - centre, axis=1)
            assert distance.std() < 0.01 * radius
            rest_centre, rest_radius = fit_sphere(np.asarray(model.mean)[ball])
            before = np.linalg.norm(np.asarray(model.mean)[skin] - rest_centre, axis=1)
            lids = skin[(before > 1.03 * rest_radius) & (before < 1.4 * rest_radius)]
            gap = np.linalg.norm(head[lids] - centre, axis=1) / radius
            assert len(lids) > 100 and (gap < 0.97).mean() < 0.05


def test_expressions_have_arkit_names(embedded_model):
    assert set(embedded_model.expression_names) == ARKIT
    assert len(embedded_model.expression_names) == len(ARKIT) == 52


def test_jaw_open_opens_the_mouth(embedded_model):
    model = embedded_model
    rest = np.asarray(landmarks(model, model.mean))
    opened = np.asarray(landmarks(model, pose(model, jawOpen=1.0)))
    assert rest[UPPER_LIP, 1] - rest[LOWER_LIP, 1] < 0.006
    assert opened[UPPER_LIP, 1] - opened[LOWER_LIP, 1] > 0.02
    assert opened[CHIN, 1] < rest[CHIN, 1] - 0.01
    np.testing.assert_allclose(opened[FOREHEAD], rest[FOREHEAD], atol=1e-3)


def test_the_upper_teeth_are_where_a_smile_shows_them(embedded_model):
    """Their edge lies below the upper lip's and close behind it; an open jaw leaves them."""
    model = embedded_model
    tile = np.asarray(model.uv)[part_faces(model, "mouth", "uv_faces")].mean(1)
    # The first of the 3 x 3 cells of the tile.
    teeth = np.unique(part_faces(model, "mouth")[(tile < 1 / 3).all(axis=1)])
    lip = np.asarray(landmarks(model, model.mean))[UPPER_LIP]
    places = np.asarray(model.mean)[teeth]
    incisors = places[np.abs(places[:, 0]) < 0.006]
    assert incisors[:, 1].min() < lip[1] - 0.001
    assert lip[2] - 0.008 < incisors[:, 2].max() < lip[2] - 0.002
    opened = np.asarray(pose(model, jawOpen=1.0))[teeth]
    assert np.linalg.norm(opened - places, axis=1).max() < 0.002


def test_eye_blink_closes_one_eye_and_leaves_the_eyeball(embedded_model):
    model = embedded_model
    rest = np.asarray(landmarks(model, model.mean))
    points = pose(model, eyeBlinkLeft=1.0)
    closed = np.asarray(landmarks(model, points))
    before = rest[UPPER_LID_LEFT, 1] - rest[LOWER_LID_LEFT, 1]
    after = closed[UPPER_LID_LEFT, 1] - closed[LOWER_LID_LEFT, 1]
    assert before > 0.005 and after < 0.35 * before
    ball = np.unique(part_faces(model, "eye_left"))
    np.testing.assert_allclose(np.asarray(points)[ball], np.asarray(model.mean)[ball], atol=1e-5)


def test_landmarks_lie_on_the_face_at_any_subdivision(embedded_model):
    coarse = load_embedded_model(0)
    fine_places = np.asarray(landmarks(embedded_model, embedded_model.mean))
    coarse_places = np.asarray(landmarks(coarse, coarse.mean))
    assert np.linalg.norm(fine_places - coarse_places, axis=1).max() < 0.003
    on_face = np.isin(
        np.asarray(embedded_model.landmark_vertices), part_faces(embedded_model, "face")
    )
    assert on_face.all()
    assert np.allclose(np.asarray(embedded_model.landmark_bary).sum(1), 1.0, atol=1e-5)
    spread = np.asarray(embedded_model.landmark_spread)
    assert spread.min() > 0 and np.median(spread) < 0.004  # Metres.


def test_landmarks_are_where_ict_has_them(embedded_model, shared_assets):
    """The face tile is the canonical one: points agree with those of another face model."""
    other = np.load(shared_assets / "facemesh" / "ict_facemesh468.npz")
    wanted = other["uv"] * [1, -1] + [0, 1]
    uv = np.zeros((embedded_model.mean.shape[0], 2))
    uv[part_faces(embedded_model, "face")] = np.asarray(embedded_model.uv)[
        part_faces(embedded_model, "face", "uv_faces")
    ]
    corners = uv[np.asarray(embedded_model.landmark_vertices)]
    places = (corners * np.asarray(embedded_model.landmark_bary)[..., None]).sum(1)
    texels = 256 * np.linalg.norm(places - wanted, axis=1)
    local = (other["spread_cm"] < 0.25) & (np.asarray(embedded_model.landmark_spread) < 0.0025)
    # On closed lips, the network's lower inner lip is anyone's guess.
    local[[95, 88, 178, 87, 14, 317, 402, 318, 324, 96, 89, 319, 325, 77, 307]] = False
    assert local.sum() > 150
    # The two were measured apart: these landmarks on textured heads, as photographs show them,
    # those of ICT-FaceKit on plain skin, where the network sees the same points a little off.
    assert np.median(texels[local]) < 1.3 and np.quantile(texels[local], 0.9) < 2.5


def test_catmull_clark_of_a_cube():
    """Hand values: face points (0, 0, 1), edge points (0, 3/4, 3/4), corners (5/9, 5/9, 5/9)."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = np.array(
        [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    )
    step = subdivision.subdivide_catmull_clark(quads, 8)
    points = subdivision.apply(step.weights, corners)
    assert points.shape == (8 + 12 + 6, 3) and step.quads.shape == (24, 4)
    np.testing.assert_allclose(np.abs(points[:8]), 5 / 9)
    np.testing.assert_allclose(np.sort(np.abs(points[8:20]), axis=1), [[0, 0.75, 0.75]] * 12)
    np.testing.assert_allclose(np.sort(np.abs(points[20:]), axis=1), [[0, 0, 1]] * 6)
    a, b, c = np.moveaxis(points[subdivision.triangulate(step.quads)], 1, 0)
    assert (np.cross(b - a, c - a) * a).sum(1).min() > 0  # Orientation is kept.


def test_catmull_clark_keeps_a_flat_grid_flat_and_its_straight_border_straight():
    y, x = np.meshgrid(np.arange(4.0), np.arange(5.0), indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), np.full(20, 2.0)], axis=-1)
    start = (np.arange(3)[:, None] * 5 + np.arange(4)).ravel()
    quads = start[:, None] + [0, 1, 6, 5]
    step = subdivision.subdivide_catmull_clark(quads, 20)
    fine = subdivision.apply(step.weights, points)
    np.testing.assert_allclose(fine[:, 2], 2.0)
    np.testing.assert_allclose(fine[6], points[6], atol=1e-12)  # An inner, regular vertex.
    np.testing.assert_allclose(fine[2], points[2], atol=1e-12)  # On the border.
    np.testing.assert_allclose(fine[0], [0.125, 0.125, 2.0])  # A corner follows (1, 6, 1) / 8.
    with pytest.raises(ValueError, match="more than two"):
        subdivision.subdivide_catmull_clark(np.array([[0, 1, 2, 3], [0, 1, 4, 5], [1, 0, 6, 7]]), 8)


def test_subdividing_the_model_is_subdividing_its_shapes(embedded_model):
    """Load-time subdivision commutes with the coefficients."""
    coarse = load_embedded_model(0)
    key_identity, key_expression = jax.random.split(jax.random.key(1))
    identity = jax.random.normal(key_identity, (80,))
    expression = jax.random.uniform(key_expression, (52,))
    step = subdivision.subdivide_catmull_clark(coarse.quads, coarse.mean.shape[0])
    expected = subdivision.apply(step.weights, np.asarray(vertices(coarse, identity, expression)))
    np.testing.assert_allclose(vertices(embedded_model, identity, expression), expected, atol=2e-6)


def test_points_on_quads_stay_in_place_under_bilinear_subdivision():
    corners = np.array([[0.0, 0], [2, 0.2], [2.2, 1.9], [-0.1, 2]])
    quads = np.array([[0, 1, 2, 3]])
    rng = np.random.default_rng(0)
    points = QuadPoints(np.zeros(200, int), rng.uniform(size=(200, 2)))
    parallelogram = corners.copy()
    parallelogram[2] = corners[1] + corners[3] - corners[0]  # Where splitting changes nothing.
    values, places = parallelogram, []
    for _ in range(3):
        vertex, bary = points_on_triangles(points, quads)
        assert bary.min() >= 0
        places.append((values[vertex] * bary[..., None]).sum(1))
        step = subdivision.subdivide_bilinear(quads, len(values))
        values, quads = step.weights @ values, step.quads
        points = subdivide_points(points)
    np.testing.assert_allclose(places[1], places[0], atol=1e-12)
    np.testing.assert_allclose(places[2], places[0], atol=1e-12)
