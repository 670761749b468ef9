"""The data set of UV faces in TFDS's layout."""
