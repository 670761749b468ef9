"""Files that leave the house: GLB and OBJ heads, maps, animations and the interactive page."""
