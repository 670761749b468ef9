"""Named random streams: adding a consumer never changes another one's numbers."""

import zlib

import jax


def stream(key: jax.Array, name: str, step: jax.Array | int | None = None) -> jax.Array:
    """Returns the key of stream `name`, at training step `step` if given."""
    key = jax.random.fold_in(key, zlib.crc32(name.encode()))
    return key if step is None else jax.random.fold_in(key, step)
