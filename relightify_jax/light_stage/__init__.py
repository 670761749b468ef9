"""Faces under random light, as photographs would show them: textures for training."""
