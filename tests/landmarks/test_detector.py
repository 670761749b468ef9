import numpy as np
import pytest

from relightify_jax.landmarks import detector
from relightify_jax.landmarks.squares import cut_square

RNG = np.random.default_rng(0)


def faces_at(*corners):
    """Predictions (N, 8, 2): boxes of side 10 with all key points in their middle."""
    corners = np.array(corners, float)
    middle = np.repeat(corners[:, None] + 5, detector.NUM_KEYPOINTS, axis=1)
    return np.concatenate([corners[:, None], corners[:, None] + 10, middle], axis=1)


def test_anchors_are_the_cells_centres_in_order():
    anchors = detector.anchor_centers()
    assert anchors.shape == (896, 2)
    np.testing.assert_allclose(anchors[:4] * 16, [[0.5, 0.5], [0.5, 0.5], [1.5, 0.5], [1.5, 0.5]])
    np.testing.assert_allclose(anchors[512:519, 0] * 8, [0.5] * 6 + [1.5])
    np.testing.assert_allclose(anchors.mean(axis=0), 0.5, atol=1e-6)


def test_overlap_of_known_boxes():
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [2, 2, 3, 3], [0.5, 0.5, 1.5, 1.5]])
    overlap = detector.box_overlap(np.array([0.0, 0.0, 2.0, 2.0]), boxes)
    np.testing.assert_allclose(overlap, [1, 1 / 3, 0, 1 / 4])


def test_overlapping_detections_merge_to_their_weighted_mean():
    points = faces_at((0, 0), (3, 0), (50, 50))
    merged = detector.merge_detections(np.array([0.6, 0.9, 0.7]), points, plain=True)
    assert [detection.score for detection in merged] == [0.9, 0.7]
    np.testing.assert_allclose(merged[0].box, [1.8, 0, 11.8, 10])
    np.testing.assert_allclose(merged[0].keypoints, [[6.8, 5]] * 6)
    np.testing.assert_allclose(merged[1].box, [50, 50, 60, 60])


def test_nothing_merges_to_nothing():
    assert detector.merge_detections(np.zeros(0), np.zeros((0, 8, 2)), plain=True) == []


@pytest.mark.parametrize("turn", range(4))
def test_turning_back_finds_the_pixel_of_the_unturned_picture(turn):
    picture = np.zeros((8, 8))
    picture[2, 5] = 1.0
    ((row, column),) = np.argwhere(np.rot90(picture, turn))
    point = np.full((1, 8, 2), (np.array([column, row]) + 0.5) / 8)
    np.testing.assert_allclose(detector._turn_back(point, turn) * 8 - 0.5, [[[5, 2]] * 8])


@pytest.mark.parametrize("shape", [(700, 500), (300, 2000), (512, 512), (257, 256)])
@pytest.mark.parametrize("side", [256, 300])
def test_tiles_cover_the_photo_and_overlap_by_half(shape, side):
    tiles = detector._tiles(*shape, side)
    covered = np.zeros(shape, bool)
    for tile in tiles:
        top, left = max(tile.top, 0), max(tile.left, 0)
        covered[top : tile.top + tile.side, left : tile.left + tile.side] = True
    assert covered.all()
    for starts in ({tile.left for tile in tiles}, {tile.top for tile in tiles}):
        assert np.all(np.diff(sorted(starts)) <= side / 2 + 1)


def test_squares_keep_photo_coordinates():
    # A ramp of the column: its value at a square's pixel tells where that came from.
    pixels = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (100, 200, 3))
    left, side, size = 30, 64, 32
    square = cut_square(pixels, left, -10, side, size, repeat_border=True)
    centers = left + (np.arange(size) + 0.5) * side / size - 0.5
    np.testing.assert_allclose(square[size // 2, 1:-1, 0], centers[1:-1], atol=0.51)


def test_squares_fill_the_outside_as_asked():
    pixels = np.full((10, 10, 3), 200, np.uint8)
    black = cut_square(pixels, -10, 0, 20, 20, repeat_border=False)
    assert black[:, :10].max() == 0 or black[:10, :9].max() == 0
    assert (black[1:9, 12:] == 200).all()
    assert (cut_square(pixels, -10, 0, 20, 20, repeat_border=True) == 200).all()
    assert (cut_square(pixels, 50, 50, 20, 20, repeat_border=True) == 0).all()


def test_probabilities_and_boxes_of_a_portrait(networks, astronaut_face, astronaut):
    from relightify_jax.core.photo import srgb_bytes_from_linear

    pixels = srgb_bytes_from_linear(astronaut)
    picture = cut_square(pixels, 0, 0, 512, 128, repeat_border=False)
    scores, points = detector.predict(networks.detector, picture[None])
    assert scores.shape == (1, 896) and points.shape == (1, 896, 8, 2)
    best = int(np.argmax(scores[0]))
    assert scores[0, best] > 0.85
    low, high = np.asarray(points[0, best, :2]) * 512
    overlap = detector.box_overlap(np.array(astronaut_face.box), np.array([[*low, *high]]))
    assert overlap[0] > 0.5
    right_eye, left_eye = np.asarray(points[0, best, 2:4]) * 512
    np.testing.assert_allclose(right_eye[0], astronaut_face.points[33, 0], atol=20)
    assert right_eye[0] < left_eye[0]
