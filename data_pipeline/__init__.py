"""Synthetic light stage, data-set builders and loaders; used by programs, never by the library."""
