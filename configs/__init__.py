"""Configurations: `get_config("variant")` in one file per experiment; data, no code."""
