"""The whole way from a fit to the observed skin: unwrap, divide the light out, mask."""

import jax.numpy as jnp
import numpy as np

from relightify_jax.core.numerics import normalize
from relightify_jax.fitting.appearance import keep_positive
from relightify_jax.fitting.fit import FitResult
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
    normals = sample_atlas(atlas, model.faces, vertex_normals(fit.points, model.faces))
    shading = keep_positive(shade_sh(normalize(normals), jnp.asarray(fit.sh)))
    fields = face_fields(model, atlas) if fields is None else fields
    return keep_skin(seen, shading, fields, skin_config, unwrap_config.threshold)
