"""Numerics, colour, randomness, map layout and files: what every room shares."""
