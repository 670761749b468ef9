"""Cameras, meshes, the morphable model and the canonical UV atlas."""
