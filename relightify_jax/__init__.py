"""Relightify-JAX: one photograph of a face in, a relightable 3D head out."""

__version__ = "0.1.0"
