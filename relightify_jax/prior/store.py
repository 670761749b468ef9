"""A codec or a whole prior as one .npz file with its configuration inside.

Arrays are float16, apart from the variances of the Gaussian, whose range is too wide.
The entry "config" is JSON with the attributes of the modules; shapes are checked
against it on loading.
"""

import dataclasses
import importlib.resources
import json
import os
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path, read_npz
from relightify_jax.diffusion.gaussian import GaussianModel
from relightify_jax.models import KLAutoencoder, build_autoencoder, build_unet
from relightify_jax.prior.codec import FaceCodec
from relightify_jax.prior.encoding import MapStatistics
from relightify_jax.prior.face_prior import LatentStatistics, Prior

FORMAT_VERSION = 1
_ASSET = "prior.npz"
_FLOAT32 = ("gaussian/variances", "statistics/scale")
_REBUILD = "train one with experiments.train_autoencoder and experiments.train_diffusion"


def save_codec(path: str | os.PathLike[str], codec: FaceCodec, notes: Mapping[str, Any]) -> None:
    """Writes a codec; `notes` (JSON types) say where it came from."""
    _write(path, "codec", _codec_arrays(codec), _codec_modules(codec), notes)


def save_prior(path: str | os.PathLike[str], prior: Prior, notes: Mapping[str, Any]) -> None:
    """Writes a prior; `notes` (JSON types) say where it came from."""
    arrays = {
        "codec": _codec_arrays(prior.codec),
        "denoiser": prior.params,
        "latents": prior.latents._asdict(),
        "gaussian": prior.gaussian._asdict(),
    }
    modules = {**_codec_modules(prior.codec), "denoiser": _attributes(prior.denoiser)}
    _write(path, "prior", arrays, modules, notes)


def load_codec(path: str | os.PathLike[str]) -> FaceCodec:
    """Reads a codec, float32.

    Raises:
        InputError: If the file is missing, is no codec, or is damaged.
    """
    config, arrays = _read(path, "codec")
    with _damage(path):
        codec = _codec(config["modules"], flax.traverse_util.unflatten_dict(arrays, sep="/"))
    _check_codec(path, codec)
    return codec


def load_prior(path: str | os.PathLike[str] | None = None) -> Prior:
    """Reads a prior, float32.

    Args:
        path: The file; None is the prior that ships with the package.

    Raises:
        InputError: If the file is missing, is no prior, or is damaged.
    """
    if path is None:
        path = str(importlib.resources.files("relightify_jax") / "assets" / _ASSET)
        if not os.path.exists(path):
            raise InputError(f"This installation has no trained prior; {_REBUILD}.")
    config, arrays = _read(path, "prior")
    with _damage(path):
        tree = flax.traverse_util.unflatten_dict(arrays, sep="/")
        prior = Prior(
            denoiser=build_unet(config["modules"]["denoiser"]),
            codec=_codec(config["modules"], tree["codec"]),
            params=tree["denoiser"],
            latents=LatentStatistics(**tree["latents"]),
            gaussian=GaussianModel(**tree["gaussian"]),
        )
    _check_codec(path, prior.codec)
    _check_denoiser(path, prior)
    return prior


def _codec(modules: Mapping[str, Any], tree: Mapping[str, Any]) -> FaceCodec:
    return FaceCodec(
        texture=build_autoencoder(modules["texture"]),
        reflectance=build_autoencoder(modules["reflectance"]),
        params=tree["params"],
        statistics=MapStatistics(**tree["statistics"]),
    )


def _codec_arrays(codec: FaceCodec) -> dict[str, Any]:
    return {"params": codec.params, "statistics": codec.statistics._asdict()}


def _codec_modules(codec: FaceCodec) -> dict[str, Any]:
    return {
        "texture": _attributes(codec.texture),
        "reflectance": _attributes(codec.reflectance),
    }


def _attributes(module: nn.Module) -> dict[str, Any]:
    values = {
        field.name: getattr(module, field.name)
        for field in dataclasses.fields(module)
        if field.name not in ("parent", "name")
    }
    values["dtype"] = jnp.dtype(values["dtype"]).name
    return values


def _write(
    path: str | os.PathLike[str],
    kind: str,
    arrays: Mapping[str, Any],
    modules: Mapping[str, Any],
    notes: Mapping[str, Any],
) -> None:
    flat = flax.traverse_util.flatten_dict(jax.device_get(dict(arrays)), sep="/")
    out: dict[str, Any] = {
        name: np.asarray(value, np.float32 if name.endswith(_FLOAT32) else np.float16)
        for name, value in flat.items()
    }
    for name, value in out.items():
        if not np.all(np.isfinite(value)):
            raise ValueError(f"{name} is not finite in float16; training diverged.")
    config = {"kind": kind, "version": FORMAT_VERSION, "modules": modules, "notes": dict(notes)}
    with atomic_path(path) as partial:
        np.savez_compressed(partial, config=np.array(json.dumps(config)), **out)


def _read(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    arrays = read_npz(path, f"a {kind}")
    try:
        config = json.loads(str(arrays.pop("config")))
        found, version = config["kind"], config["version"]
    except (KeyError, ValueError, TypeError):
        raise InputError(f"{path} is not a {kind} of this program; {_REBUILD}.") from None
    if found != kind:
        raise InputError(f"{path} holds a {found}, not a {kind}; give the other file.")
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} has format {version}, but this version reads format {FORMAT_VERSION}; "
            f"{_REBUILD}."
        )
    return config, {k: v.astype(np.float32) for k, v in arrays.items()}


class _damage:
    """Turns the errors of rebuilding a pytree into one sentence."""

    def __init__(self, path: str | os.PathLike[str]):
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, (KeyError, TypeError, ValueError, AttributeError)):
            raise InputError(
                f"{self._path} is damaged or from another version ({error}); {_REBUILD}."
            ) from None


def _check_codec(path: str | os.PathLike[str], codec: FaceCodec) -> None:
    size = codec.statistics.mean.shape[0]
    expected = {"mean": (size, size, 10), "scale": (10,)}
    _compare(path, codec.statistics._asdict(), expected)

    def shapes(module: KLAutoencoder) -> Any:
        image = jax.ShapeDtypeStruct((1, 8, 8, module.num_channels), jnp.float32)
        return jax.eval_shape(
            lambda x: module.init(jax.random.key(0), x, jax.random.key(0)), image
        )["params"]

    for name in ("texture", "reflectance"):
        _compare(path, codec.params[name], shapes(getattr(codec, name)))


def _check_denoiser(path: str | os.PathLike[str], prior: Prior) -> None:
    shape = prior.codec.latent_shape
    num_modes = prior.gaussian.variances.shape[0]
    _compare(path, prior.latents._asdict(), {"mean": shape, "scale": shape[2:]})
    _compare(
        path,
        prior.gaussian._asdict(),
        {"modes": (num_modes, *shape), "variances": (num_modes,), "remainder": shape},
    )
    inputs = jax.ShapeDtypeStruct((1, *shape[:2], 2 * shape[2]), jnp.float32)
    time = jax.ShapeDtypeStruct((1,), jnp.float32)
    init = jax.eval_shape(lambda x, t: prior.denoiser.init(jax.random.key(0), x, t), inputs, time)
    _compare(path, prior.params, init["params"])


def _compare(path: str | os.PathLike[str], tree: Any, expected: Any) -> None:
    """Raises InputError unless `tree` has the names and shapes of `expected`."""
    is_shape = lambda x: isinstance(x, tuple) and all(isinstance(n, int) for n in x)  # noqa: E731
    wanted = {
        jax.tree_util.keystr(k): v if is_shape(v) else v.shape
        for k, v in jax.tree_util.tree_leaves_with_path(expected, is_leaf=is_shape)
    }
    found = {jax.tree_util.keystr(k): v.shape for k, v in jax.tree_util.tree_leaves_with_path(tree)}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise InputError(
                f"{path} is damaged: {name} has shape {found.get(name)}, but its own "
                f"configuration says {wanted.get(name)}."
            )
