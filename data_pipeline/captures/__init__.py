"""Captures of real faces as records of the data set: see docs/CAPTURES.md."""

from data_pipeline.captures.capture import Capture, read_captures
from data_pipeline.captures.layouts import LAYOUTS

__all__ = ["LAYOUTS", "Capture", "read_captures"]
