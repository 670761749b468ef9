"""Finds faces in a photograph and 468 landmarks on each: two small networks in JAX."""
