"""Rasterization, interpolation, lights, skin shading and the head renderer."""
