"""Device mesh and placement of the train state: data parallelism plus FSDP.

What older code calls pjit is today `jax.jit` with `in_shardings` and `out_shardings`.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

BATCH_AXES = ("data", "fsdp")  # A batch is split over every device of the mesh.


def make_mesh(fsdp: int = 1) -> Mesh:
    """Builds a ("data", "fsdp") mesh over all devices of all processes.

    Raises:
        ValueError: If the number of devices is not divisible by `fsdp`.
    """
    num_devices = jax.device_count()
    if num_devices % fsdp:
        raise ValueError(f"{num_devices} devices cannot be split into groups of {fsdp}.")
    # Auto is spelled out: JAX's default became Explicit, under which a Flax
    # convolution with a sharded kernel does not trace.
    return jax.make_mesh((num_devices // fsdp, fsdp), BATCH_AXES, axis_types=(AxisType.Auto,) * 2)


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, P())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """First axis split over all devices."""
    return NamedSharding(mesh, P(BATCH_AXES))


def fsdp_shardings(tree: Any, mesh: Mesh, min_size: int = 2**18) -> Any:
    """Splits the largest divisible axis of every big leaf over "fsdp".

    The rule of google-research/big_vision, written anew.

    Args:
        tree: Pytree of arrays or `jax.ShapeDtypeStruct`, e.g. an abstract
            `TrainState`. The rule looks at shapes only, so a parameter and its
            optimizer moments always land on the same devices.
        mesh: Mesh from `make_mesh`.
        min_size: Leaves with fewer elements are replicated.

    Returns:
        The same tree with a `NamedSharding` at every leaf.
    """
    ways = mesh.shape["fsdp"]

    def place(leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        spec: list[str | None] = [None] * len(leaf.shape)
        if ways > 1 and np.prod(leaf.shape, dtype=np.int64) >= min_size:
            for axis in np.argsort(leaf.shape)[::-1]:
                if leaf.shape[axis] % ways == 0:
                    spec[axis] = "fsdp"
                    break
        return NamedSharding(mesh, P(*spec))

    return jax.tree.map(place, tree)


def place_batch(batch: Any, mesh: Mesh) -> Any:
    """Puts this process's part of a batch (NumPy leaves) on its devices.

    Raises:
        ValueError: If the batch cannot be split over the devices.
    """
    sharding = batch_sharding(mesh)

    def place(x: np.ndarray) -> jax.Array:
        if len(x) * jax.process_count() % mesh.size:
            raise ValueError(
                f"A batch of {len(x) * jax.process_count()} cannot be split over {mesh.size} "
                "devices; make train.batch_size a multiple."
            )
        return jax.make_array_from_process_local_data(sharding, x)

    return jax.tree.map(place, batch)
