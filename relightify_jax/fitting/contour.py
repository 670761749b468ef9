"""The outline of the head: where the model has it, and where the photograph shows it.

Colours inside a face say little about its width and profile; the edge against the
background does. From points of the model's outline the photograph is searched along the
normal for the strongest step from skin to something else, as in Harris's RAPID (1990)
and active contours. Such steps are found once a round and are residuals of the fit.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relightify_jax.core import facemesh
from relightify_jax.core.numerics import normalize
from relightify_jax.fitting import objectives
from relightify_jax.fitting.evidence import Sight, gather_points
from relightify_jax.fitting.objectives import ContourData, Geometry, LandmarkData, ShapeModel
from relightify_jax.fitting.prepared import Edges, PreparedModel
from relightify_jax.geometry.camera import camera_position, project
from relightify_jax.rendering.texture import sample_image

_STEP = 0.5  # Crop px between samples.
_WINDOW = 6  # Samples on each side of a step.
_REACH = 16  # Samples on each side that are searched: 8 px, a centimetre.
_NOISE = 0.04  # Deviation of encoded colour within one surface.
_MIN_CONTRAST = 3.0  # Of a step, in deviations of the colours beside it.
_MIN_SKIN = 0.6  # Share of the samples inside a step that look like skin.
_BACKGROUND = 1.5  # Px outside the outline where nothing of the model may lie.
# Landmarks of the face's oval that turn away slide along the surface to its outline.
_OVAL = np.array(facemesh.FACE_OVAL)
_HIDDEN_FACING = -0.05
_MAX_SLIDE = 0.03  # Metres.


def find_outline(points: jax.Array, eye: jax.Array, edges: Edges, faces: jax.Array):
    """Which edges part a triangle that faces the camera from one that does not.

    Args:
        points: (V, 3).
        eye: (3,) the camera's position.
        edges: R candidates.
        faces: (F, 3) int32.

    Returns:
        (R,) bool, and the triangles (R,) that face the camera where it is True.
    """
    corners = points[faces[edges.faces]]  # (R, 2, 3, 3).
    normal = jnp.cross(
        corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    )
    front = jnp.sum(normal * (eye - corners[..., 0, :]), axis=-1) > 0
    return front[:, 0] != front[:, 1], jnp.where(front[:, 0], edges.faces[:, 0], edges.faces[:, 1])


def slide_landmarks(
    geometry: Geometry, data: LandmarkData, prepared: PreparedModel
) -> LandmarkData:
    """Lets hidden landmarks of the face's oval stand for the outline that hides them.

    A network puts the landmarks of the far cheek onto the outline; the vertex that they are
    named after is behind it (Zhu et al. 2015, "landmark marching"). Each is given the
    nearest point, in the image, of the model's present outline. Other landmarks that
    the camera cannot see are only trusted less.
    """
    camera = objectives.fitted_camera(geometry, data)
    eye = camera_position(camera)
    to_eye = normalize(eye - prepared.landmarks.mean)
    facing = jnp.sum(prepared.landmark_normals * to_eye, axis=-1)
    trust = jnp.clip((facing + 0.3) / 0.6, 0.1, 1.0)

    points = objectives.evaluate_shape(prepared.shape, geometry)
    ends = prepared.outline.vertices
    on_outline, _ = find_outline(points, eye, prepared.outline, prepared.shape.faces)
    middle = (points[ends[:, 0]] + points[ends[:, 1]]) / 2
    place, _ = project(camera, middle)
    landmark = objectives.evaluate_shape(prepared.landmarks, geometry)[_OVAL]

    def nearest(pixel, point):
        is_near = jnp.sum((middle - point) ** 2, axis=-1) < _MAX_SLIDE**2
        distance = jnp.sum((place - pixel) ** 2, axis=-1)
        distance = jnp.where(on_outline & is_near, distance, jnp.inf)
        best = jnp.argmin(distance)
        return best, jnp.isfinite(distance[best])

    edge, found = lax.map(lambda x: nearest(*x), (data.pixels[_OVAL], landmark))
    slides = found & (facing[_OVAL] < _HIDDEN_FACING)
    target = _edge_middles(prepared.shape, ends[edge])

    def replace(own, other):
        chosen = jnp.where(slides[:, None], other, own[..., _OVAL, :])
        return own.at[..., _OVAL, :].set(chosen)

    own = prepared.landmarks
    model = ShapeModel(
        replace(own.mean, target.mean),
        replace(own.identity, target.identity),
        replace(own.expression, target.expression),
        own.faces,
    )
    trust = trust.at[_OVAL].set(jnp.where(slides, 0.5, trust[_OVAL]))
    trust = jnp.sqrt(trust)
    return data._replace(
        model=model,
        deviation=data.deviation / trust,
        fine_deviation=data.fine_deviation / trust,
    )


def _edge_middles(model: ShapeModel, ends: jax.Array) -> ShapeModel:
    """The model whose vertices are the middles of the edges `ends` (N, 2)."""
    first, second = gather_points(model, ends[:, 0]), gather_points(model, ends[:, 1])
    mean, identity, expression = ((a + b) / 2 for a, b in zip(first[:3], second[:3], strict=True))
    return ShapeModel(mean, identity, expression, model.faces[:0])


def search_contour(
    sight: Sight,
    geometry: Geometry,
    prepared: PreparedModel,
    data: LandmarkData,
    image: jax.Array,
    usable: jax.Array,
    key: jax.Array,
    deviation: jax.Array | float,
    *,
    num_points: int,
) -> ContourData:
    """Draws points of the outline against the background and finds it in the photograph.

    Args:
        sight: From `evidence.look_at_head`.
        geometry: Current estimate.
        prepared: The model.
        data: For the camera.
        image: (S, S, 3) crop, linear RGB.
        usable: (S, S) bool: inside the photograph.
        key: Random key, consumed.
        deviation: () px, of a step that is found.
        num_points: How many points; fewer are valid if fewer steps are found.
    """
    edges, faces = prepared.outline, prepared.shape.faces
    eye = camera_position(objectives.fitted_camera(geometry, data))
    on_outline, front = find_outline(sight.points, eye, edges, faces)
    first, second = sight.xy[edges.vertices[:, 0]], sight.xy[edges.vertices[:, 1]]
    middle, along = (first + second) / 2, second - first
    length = jnp.linalg.norm(along, axis=-1)
    normal = jnp.stack([along[:, 1], -along[:, 0]], -1) / jnp.maximum(length, 1e-6)[:, None]
    inwards = jnp.mean(sight.xy[faces[front]], axis=1) - middle
    normal = jnp.where(jnp.sum(normal * inwards, -1, keepdims=True) > 0, -normal, normal)
    is_free = ~_lookup(sight.fragments.mask, middle + _BACKGROUND * normal)
    candidate = on_outline & is_free & _lookup(sight.fragments.mask, middle - normal)

    # In proportion to length: Gumbel noise on its logarithm.
    noise = jax.random.gumbel(key, length.shape) + jnp.log(jnp.maximum(length, 1e-6))
    rank, chosen = lax.top_k(jnp.where(candidate, noise, -jnp.inf), num_points)
    middle, normal = middle[chosen], normal[chosen]
    offset, found = _find_steps(image, sight.skin, usable, middle, normal)
    return ContourData(
        points=_edge_middles(prepared.shape, edges.vertices[chosen]),
        target=middle + offset[:, None] * normal,
        normal=normal,
        valid=(found & jnp.isfinite(rank)).astype(jnp.float32),
        deviation=jnp.asarray(deviation, jnp.float32),
    )


def _lookup(image: jax.Array, xy: jax.Array) -> jax.Array:
    """Values (N,) of the pixels of image (S, S) that hold xy (N, 2); False outside."""
    size = image.shape[0]
    pixel = jnp.floor(xy).astype(jnp.int32)
    inside = jnp.all((pixel >= 0) & (pixel < size), axis=-1)
    pixel = jnp.clip(pixel, 0, size - 1)
    return image[pixel[:, 1], pixel[:, 0]] & inside


def _find_steps(image, skin, usable, middle, normal) -> tuple[jax.Array, jax.Array]:
    """Offsets (N,) px along the normals of the clearest steps, and whether there are any."""
    offsets = _STEP * jnp.arange(-_REACH - _WINDOW, _REACH + _WINDOW + 1)
    place = middle[:, None] + offsets[:, None] * normal[:, None]
    encoded = jnp.sqrt(jnp.maximum(image, 0.0))  # Near what the eye sees: noise is even.
    planes = jnp.concatenate(
        [encoded, skin[..., None], usable[..., None]], axis=-1, dtype=jnp.float32
    )
    samples = sample_image(planes, place)  # (N, T, 5).
    color, is_skin, in_frame = samples[..., :3], samples[..., 3], samples[..., 4]

    def windows(x):
        """Means over the samples before and after each place that is searched."""
        total = jnp.cumsum(jnp.pad(x, ((0, 0), (1, 0)) + ((0, 0),) * (x.ndim - 2)), axis=1)
        mean = (total[:, _WINDOW:] - total[:, :-_WINDOW]) / _WINDOW
        return mean[:, : 2 * _REACH + 1], mean[:, _WINDOW + 1 : _WINDOW + 2 * _REACH + 2]

    inside, outside = windows(color)
    square_in, square_out = windows(color**2)
    variance = jnp.sum(square_in - inside**2 + square_out - outside**2, axis=-1)
    contrast = jnp.sum((inside - outside) ** 2, axis=-1) / (jnp.maximum(variance, 0.0) + _NOISE**2)
    skin_inside, _ = windows(is_skin)
    offsets = offsets[_WINDOW:-_WINDOW]
    # Of steps of like strength the nearest counts.
    score = jnp.log1p(contrast) - 0.5 * (offsets / (0.5 * _REACH * _STEP)) ** 2
    score = jnp.where(skin_inside > _MIN_SKIN, score, -jnp.inf)
    best = jnp.argmax(score, axis=1)
    strength = jnp.take_along_axis(contrast, best[:, None], axis=1)[:, 0]
    found = jnp.isfinite(jnp.max(score, axis=1)) & (strength > _MIN_CONTRAST**2)
    # A step at the end of the search is the flank of another one.
    found &= (best > 0) & (best < 2 * _REACH) & (jnp.min(in_frame, axis=1) > 0.999)
    return offsets[best], found
