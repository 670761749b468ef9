"""Skin optics and structure: pure functions from chromophores and landmarks to maps."""
