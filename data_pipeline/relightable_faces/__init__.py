"""The data set of relightable faces in TFDS's layout: builder, sources, shards."""
