import numpy as np
import pytest

from relightify_jax.core import facemesh as topology

RINGS = {
    name: getattr(topology, name)
    for name in dir(topology)
    if name.isupper() and name[0] != "_" and name not in ("NUM_LANDMARKS", "EYE_OUTER")
}


def area(points):
    """Signed area of a polygon (N, 2) by the shoelace formula."""
    x, y = points[:, 0], points[:, 1]
    return 0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)


@pytest.mark.parametrize("name", RINGS)
def test_indices_are_distinct_landmarks(name):
    ring = RINGS[name]
    assert len(set(ring)) == len(ring)
    assert 0 <= min(ring) and max(ring) < topology.NUM_LANDMARKS


@pytest.mark.parametrize("name", ["EYE", "BROW"])
def test_left_mirrors_right_on_a_portrait(astronaut_face, name):
    points = astronaut_face.points[:, :2].astype(float)
    right, left = (points[list(RINGS[f"{name}_{side}"])] for side in ("RIGHT", "LEFT"))
    # The affine mirror that best maps one ring to the other leaves a small rest.
    design = np.column_stack([right, np.ones(len(right))])
    solution, *_ = np.linalg.lstsq(design, left, rcond=None)
    rest = np.linalg.norm(design @ solution - left, axis=1).max()
    assert np.linalg.det(solution[:2]) < 0  # A mirror, not a rotation.
    assert rest < 0.1 * np.ptp(left[:, 0])
    assert right[:, 0].mean() < left[:, 0].mean()  # The subject's right is the photo's left.


def test_rings_enclose_their_part_on_a_portrait(astronaut_face):
    points = astronaut_face.points[:, :2].astype(float)
    areas = {
        name: abs(area(points[list(ring)]))
        for name, ring in RINGS.items()
        if not name.startswith("NOSE") and name not in ("MIDLINE", "MIRROR")
    }
    assert areas["LIPS_INNER"] < areas["LIPS_OUTER"] < 0.15 * areas["FACE_OVAL"]
    for name in ("EYE_LEFT", "EYE_RIGHT", "BROW_LEFT", "BROW_RIGHT"):
        assert 0.003 < areas[name] / areas["FACE_OVAL"] < 0.05
    x0, y0, x1, y1 = astronaut_face.box
    assert areas["FACE_OVAL"] > 0.6 * (x1 - x0) * (y1 - y0)
    bridge = points[list(topology.NOSE_BRIDGE)]
    assert np.all(np.diff(bridge[:, 1]) > 0)
    wings = points[list(topology.NOSE_WINGS)]
    assert wings[0, 0] < wings[4, 0] < wings[-1, 0]


def test_names_agree_with_the_canonical_face_model(shared_assets):
    lines = (shared_assets / "facemesh" / "canonical_face_model.obj").read_text().splitlines()
    points = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float)
    distance = np.linalg.norm(points[:, None] * [-1, 1, 1] - points[None], axis=-1)
    mirror = distance.argmin(axis=1)
    assert distance.min(axis=1).max() < 1e-6
    np.testing.assert_array_equal(mirror, topology.MIRROR)
    assert set(np.flatnonzero(mirror == np.arange(len(mirror)))) == set(topology.MIDLINE)
    for name in ("EYE", "BROW"):
        right, left = RINGS[f"{name}_RIGHT"], RINGS[f"{name}_LEFT"]
        np.testing.assert_array_equal(mirror[list(right)], left)
    assert tuple(mirror[list(topology.EYE_OUTER)]) == topology.EYE_OUTER[::-1]
    for name in ("LIPS_OUTER", "LIPS_INNER", "FACE_OVAL"):
        assert set(mirror[list(RINGS[name])]) == set(RINGS[name])
    np.testing.assert_array_equal(mirror[list(topology.NOSE_BRIDGE)], topology.NOSE_BRIDGE)
    np.testing.assert_array_equal(mirror[list(topology.NOSE_WINGS)], topology.NOSE_WINGS[::-1])
