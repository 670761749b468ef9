"""Pictures of a finished head: under preset lights, turning, and back in its photo."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.export.head import Head
from relightify_jax.geometry.camera import Camera
from relightify_jax.rendering.lighting import Light, rotate_light, rotation_about_y
from relightify_jax.rendering.renderer import HeadAssets, HeadMesh, render_head

BACKGROUND = (0.012, 0.012, 0.014)  # Linear; nearly black, so that rim light shows.
_VIEW_ANGLE = np.radians(22.0)  # Of a portrait lens, vertical.
PORTRAIT_YAW = float(np.radians(12.0))
_TURN = np.radians(55.0)  # Largest yaw of the turntable.


class Studio(NamedTuple):
    """A head set up for rendering: what all its pictures share."""

    mesh: HeadMesh
    assets: HeadAssets
    points: jax.Array  # (V, 3) posed vertices, metres.
    occlusion: jax.Array  # (V,) ambient occlusion, see `mesh_occlusion`.

    def render(
        self,
        camera: Camera,
        light: Light,
        height: int,
        width: int,
        background: np.ndarray | tuple[float, ...] = BACKGROUND,
    ) -> np.ndarray:
        """A picture (H, W, 4): linear RGB over `background`, and alpha."""
        rendering = render_head(
            self.mesh,
            self.assets,
            self.points,
            camera,
            light,
            height=height,
            width=width,
            background=jnp.asarray(background, jnp.float32),
            occlusion=self.occlusion,
        )
        return np.concatenate([np.asarray(rendering.image), np.asarray(rendering.alpha)], -1)

    def relit(
        self, lights: Mapping[str, Light], size: int, yaw: float = PORTRAIT_YAW
    ) -> dict[str, np.ndarray]:
        """The head under each light: (size, size, 3) by the light's name; yaw in radians."""
        camera = portrait_camera(self.points, size, yaw)
        return {
            name: self.render(camera, light, size, size)[..., :3] for name, light in lights.items()
        }

    def turntable(self, light: Light, size: int, num_frames: int) -> Iterator[np.ndarray]:
        """Frames (size, size, 3) of one period: the head swings while the light circles."""
        for phase in np.arange(num_frames) / num_frames * 2 * np.pi:
            camera = portrait_camera(self.points, size, yaw=_TURN * np.sin(phase))
            turned = rotate_light(light, rotation_about_y(jnp.float32(phase)))
            yield self.render(camera, turned, size, size)[..., :3]


def head_assets(head: Head) -> HeadAssets:
    """The textures of a dressed head as the renderer takes them."""
    face = head.materials["face"]
    size = face.base_color.shape[0]
    blank = np.full((4, 4, 3), 0.3, np.float32)

    def base_color(*names: str) -> jax.Array:
        found = [head.materials[name].base_color for name in names if name in head.materials]
        return jnp.asarray(found[0] if found else blank, jnp.float32)

    return HeadAssets(
        face_diffuse=jnp.asarray(face.base_color, jnp.float32),
        face_specular=jnp.asarray(
            np.broadcast_to(np.asarray(face.specular, np.float32), (size, size, 1))
        ),
        face_normal=jnp.asarray(face.normals, jnp.float32),
        head_diffuse=base_color("head", "face"),
        eye_diffuse=base_color("eye_left", "eye_right"),
        mouth_diffuse=base_color("mouth"),
    )


def portrait_camera(points: jax.Array, size: int, yaw: float = 0.0) -> Camera:
    """A camera that sees the whole head, `yaw` radians towards the subject's left.

    Args:
        points: (V, 3) vertices, metres.
        size: Side of the square picture in pixels.
        yaw: Radians about +Y.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    center, height = (low + high) / 2, high[1] - low[1]
    distance = 0.56 * height / np.tan(_VIEW_ANGLE / 2) + (high[2] - low[2]) / 2
    rotation = jnp.array([0.0, -yaw, 0.0])
    turned = rotation_about_y(-yaw) @ center
    return Camera(
        focal=jnp.asarray(size / 2 / np.tan(_VIEW_ANGLE / 2), jnp.float32),
        center=jnp.full(2, size / 2, jnp.float32),
        rotation=rotation,
        translation=jnp.array([0.0, 0.0, -1.0]) * distance - turned,
    )


def light_from_sh(sh: jax.Array, num_directions: int) -> Light:
    """A light without beams, with unused directions so that it swaps under one jit."""
    forward = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), (num_directions, 3))
    return Light(sh, forward, jnp.zeros((num_directions, 3)))
