"""The steps of data_pipeline.build_face_model."""
