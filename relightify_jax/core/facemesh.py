"""Which of the 468 points is what.

Facts of MediaPipe's face mesh (Apache-2.0, Copyright The MediaPipe Authors): its
canonical face model and python/solutions/face_mesh_connections.py. Left and right are
the subject's: in a photo the right eye is on the left. `X_LEFT[i]` mirrors `X_RIGHT[i]`.
"""

NUM_LANDMARKS = 468

# On the middle of the face. The others up to 247 are on the right; in the same order, their
# mirror images are those from 248 on.
MIDLINE: tuple[int, ...] = (0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 94, 151)
MIDLINE += (152, 164, 168, 175, 195, 197, 199, 200)
_RIGHT = tuple(index for index in range(248) if index not in MIDLINE)
# `MIRROR[i]` is the landmark on the other side of the face.
_OTHER_SIDE = dict(zip(_RIGHT, range(248, NUM_LANDMARKS), strict=True))
_OTHER_SIDE |= {left: right for right, left in _OTHER_SIDE.items()}
MIRROR = tuple(_OTHER_SIDE.get(index, index) for index in range(NUM_LANDMARKS))

# Outer corners of the right and the left eye; their distance is the unit of errors.
EYE_OUTER = (33, 263)

# Rings, from the outer corner along the upper lid to the inner corner and back below.
EYE_RIGHT = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
EYE_LEFT = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)

# Rings: the upper edge from the outer end inwards, then the lower edge outwards.
BROW_RIGHT = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
BROW_LEFT = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)

# Rings, from the right corner of the mouth over the upper lip and back below.
LIPS_OUTER: tuple[int, ...] = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409)
LIPS_OUTER += (291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
LIPS_INNER: tuple[int, ...] = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415)
LIPS_INNER += (308, 324, 318, 402, 317, 14, 87, 178, 88, 95)

# From between the eyes down to the tip and the base of the nose.
NOSE_BRIDGE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2)
# Along the wings, from the right one under the nose to the left one.
NOSE_WINGS = (48, 64, 98, 97, 2, 326, 327, 294, 278)

# Ring, from the middle of the forehead over the subject's left side and the chin (152).
FACE_OVAL: tuple[int, ...] = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288)
FACE_OVAL += (397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136)
FACE_OVAL += (172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
