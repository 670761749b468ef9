"""Any laboratory's face model, brought to the canonical UV layout and the 468 landmarks."""
