"""A synthetic light stage: random people under random light, as UV maps."""
