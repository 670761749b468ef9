"""Readers of other laboratories' face models, which users bring themselves."""
