"""The outline is found where it is, and hidden landmarks stand for it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core import facemesh
from relightify_jax.fitting import objectives
from relightify_jax.fitting.contour import find_outline, search_contour, slide_landmarks
from relightify_jax.fitting.evidence import look_at_head
from relightify_jax.fitting.fit import fit_landmarks_batch
from relightify_jax.fitting.prepared import Edges
from relightify_jax.geometry.camera import camera_position
from relightify_jax.geometry.topology import build_topology


def sphere(rows=16, columns=32):
    """A closed sphere of radius 1: (V, 3), (F, 3) counter-clockwise from outside."""
    polar = np.linspace(0.05, np.pi - 0.05, rows)
    around = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    p, a = (x.ravel() for x in np.meshgrid(polar, around, indexing="ij"))
    points = np.stack([np.sin(p) * np.sin(a), np.cos(p), np.sin(p) * np.cos(a)], -1)
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, axis=1)
    quads = np.stack([index[:-1], index[1:], right[1:], right[:-1]], -1).reshape(-1, 4)
    return points.astype(np.float32), quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


@pytest.mark.parametrize("eye", [(0.0, 0.0, 4.0), (3.0, 0.5, 2.0)])
def test_the_outline_of_a_sphere_is_the_circle_of_its_tangents(eye):
    points, faces = sphere()
    topology = build_topology(faces)
    inner = topology.edge_faces[:, 1] >= 0
    edges = Edges(jnp.asarray(topology.edges[inner]), jnp.asarray(topology.edge_faces[inner, :2]))
    on, front = find_outline(jnp.asarray(points), jnp.array(eye), edges, jnp.asarray(faces))
    on = np.asarray(on)
    assert 20 < on.sum() < 100
    middle = points[np.asarray(edges.vertices)[on]].mean(axis=1)
    # Tangents from a point at distance d touch the unit sphere where x . eye = 1.
    np.testing.assert_allclose(middle @ np.array(eye), 1.0, atol=0.5 * np.linalg.norm(eye) * 0.3)
    corners = points[faces[np.asarray(front)[on]]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.sum(normal * (np.array(eye) - corners[:, 0]), axis=-1) > 0).all()


def fitted(prepared, portrait, config):
    one = fit_landmarks_batch([portrait.pixels], [portrait.image.shape], prepared, config)
    return jax.tree.map(lambda x: x[0], one[:2])


@pytest.mark.parametrize("shift", [-4.0, 0.0, 5.0])
def test_a_shifted_outline_is_found_where_the_photo_has_it(
    tiny_prepared, tiny_config, take_portrait, shift
):
    """The head is put `shift` pixels to the right of where the photo shows it."""
    portrait = take_portrait((0.0, 0.9, 0.0), seed=3)  # Turned: its far side is an outline.
    geometry, data = fitted(tiny_prepared, portrait, tiny_config)
    size = tiny_config.crop_size
    sight = look_at_head(
        geometry, tiny_prepared, data, jnp.full((size, size, 3), 0.3), jnp.ones((size, size), bool)
    )
    head = np.asarray(sight.fragments.mask)
    image = np.where(head[..., None], [0.5, 0.3, 0.2], [0.1, 0.2, 0.4]).astype(np.float32)
    moved = geometry._replace(pose=geometry.pose.at[3].add(shift))
    usable = jnp.ones((size, size), bool)
    sight = look_at_head(moved, tiny_prepared, data, jnp.asarray(image), usable)
    contour = search_contour(
        sight, moved, tiny_prepared, data, jnp.asarray(image), usable, jax.random.key(0), 1.5,
        num_points=24,
    )  # fmt: skip
    valid = np.asarray(contour.valid) > 0
    assert valid.sum() > 8
    camera = objectives.fitted_camera(moved, data)
    points = objectives.evaluate_shape(contour.points, moved)
    place, _ = objectives.project(camera, points)
    offset = np.sum((np.asarray(contour.target) - place) * contour.normal, axis=-1)
    wanted = -shift * np.asarray(contour.normal)[:, 0]
    assert np.median(np.abs(offset - wanted)[valid]) < 0.8
    np.testing.assert_allclose(np.linalg.norm(contour.normal, axis=-1)[valid], 1.0, atol=1e-4)


def test_an_even_picture_has_no_outline(tiny_prepared, tiny_config, take_portrait):
    portrait = take_portrait(seed=3)
    geometry, data = fitted(tiny_prepared, portrait, tiny_config)
    size = tiny_config.crop_size
    image, usable = jnp.full((size, size, 3), 0.3), jnp.ones((size, size), bool)
    sight = look_at_head(geometry, tiny_prepared, data, image, usable)
    contour = search_contour(
        sight, geometry, tiny_prepared, data, image, usable, jax.random.key(0), 1.5, num_points=64
    )
    assert float(contour.valid.sum()) == 0
    again = objectives.PhotoData(data, contour, None)
    assert np.isfinite(objectives.contour_residuals(geometry, again)).all()


def test_hidden_landmarks_of_the_oval_slide_to_the_outline(embedded_model):
    from relightify_jax.fitting.config import FitConfig
    from relightify_jax.fitting.prepared import prepare_model
    from relightify_jax.geometry.camera import Camera, project

    config = FitConfig()
    prepared = prepare_model(embedded_model, config)
    camera = Camera(
        jnp.float32(900.0), jnp.array([128.0, 128.0]), jnp.array([0.0, 0.9, 0.0]),
        jnp.array([0.0, 0.0, -1.0]),
    )  # fmt: skip
    pixels, _ = project(camera, prepared.landmarks.mean)
    fit = fit_landmarks_batch([np.asarray(pixels)], [(256, 256)], prepared, config)
    geometry, data = jax.tree.map(lambda x: x[0], fit[:2])
    plain = data._replace(model=prepared.landmarks)
    slid = slide_landmarks(geometry, plain, prepared)
    changed = np.any(np.asarray(slid.model.mean) != np.asarray(prepared.landmarks.mean), axis=-1)
    oval = np.zeros(468, bool)
    oval[list(facemesh.FACE_OVAL)] = True
    assert 4 < changed.sum() < 30 and not (changed & ~oval).any()
    # They lie where the surface turns away, on the far side.
    eye = camera_position(objectives.fitted_camera(geometry, data))
    places = np.asarray(objectives.evaluate_shape(slid.model, geometry))
    hidden = np.asarray(objectives.evaluate_shape(prepared.landmarks, geometry))
    far = np.sign(float(eye[0])) * hidden[changed, 0] < 0
    assert far.mean() > 0.9
    assert np.linalg.norm(places - hidden, axis=-1).max() < 0.031
