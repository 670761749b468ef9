"""The whole way from a fit to the observed skin: unwrap, divide the light out, mask."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.numerics import normalize
from relightify_jax.fitting.appearance import keep_positive
from relightify_jax.fitting.fit import FitResult
from relightify_jax.fitting.fuse import fuse_observations
from relightify_jax.fitting.skin_mask import FaceFields, SkinConfig, face_fields, keep_skin
from relightify_jax.fitting.unwrap import Observation, UnwrapConfig, unwrap_texture
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import MorphableModel
from relightify_jax.geometry.uv_atlas import UVAtlas, sample_atlas
from relightify_jax.rendering.lighting import shade_sh


def observe_face(
    linear_photo: np.ndarray,
    fit: FitResult,
    model: MorphableModel,
    atlas: UVAtlas,
    *,
    shading: jax.Array | None = None,
    fields: FaceFields | None = None,
    unwrap_config: UnwrapConfig = UnwrapConfig(),  # noqa: B008  (immutable)
    skin_config: SkinConfig = SkinConfig(),  # noqa: B008  (immutable)
) -> Observation:
    """Unwraps the photograph and keeps what is skin.

    Args:
        linear_photo: (H, W, 3) linear RGB.
        fit: Of that photograph, with `model`.
        model: The morphable model.
        atlas: Of the part "face".
        shading: `fitted_shading(fit, model, atlas)`, if it is there already.
        fields: `face_fields(model, atlas)`, to save it for many photographs.
        unwrap_config: Geometry of seeing.
        skin_config: Thresholds of skin.
    """
    seen = unwrap_texture(
        linear_photo,
        fit.camera,
        fit.points,
        model.faces,
        atlas,
        face_part=model.face_part,
        config=unwrap_config,
    )
    shading = fitted_shading(fit, model, atlas) if shading is None else shading
    fields = face_fields(model, atlas) if fields is None else fields
    return keep_skin(seen, shading, fields, skin_config, unwrap_config.threshold)


def fitted_shading(fit: FitResult, model: MorphableModel, atlas: UVAtlas) -> jax.Array:
    """The fitted light on a white face of that shape: (R, R, 3) linear RGB."""
    normals = sample_atlas(atlas, model.faces, vertex_normals(fit.points, model.faces))
    return keep_positive(shade_sh(normalize(normals), jnp.asarray(fit.sh)))


def observe_photos(
    linear_photos: Sequence[np.ndarray],
    fits: Sequence[FitResult],
    model: MorphableModel,
    atlas: UVAtlas,
) -> Observation:
    """What several photographs of one person show together, in the light of the first.

    Args:
        linear_photos: N photographs (H, W, 3), linear RGB.
        fits: `fit_photos` of them, with `model`.
        model: The morphable model.
        atlas: Of the part "face".
    """
    fields = face_fields(model, atlas)
    shadings = [fitted_shading(fit, model, atlas) for fit in fits]
    observations = [
        observe_face(photo, fit, model, atlas, shading=shading, fields=fields)
        for photo, fit, shading in zip(linear_photos, fits, shadings, strict=True)
    ]
    return fuse_observations(observations, shadings=shadings)


def coverage(observation: Observation, atlas: UVAtlas) -> float:
    """Share of the face's texels that the photographs show, in [0, 1]."""
    return float(jnp.sum(observation.mask[..., 0] * atlas.inside) / jnp.sum(atlas.inside))
