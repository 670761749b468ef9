"""Rendered heads: the same seed, the same photo; a factor changes itself alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core.errors import InputError
from relightify_jax.evaluation import fitting_cases as cases
from relightify_jax.evaluation import fitting_landmarks, fitting_protocol
from relightify_jax.evaluation.fitting_cases import Case
from relightify_jax.evaluation.fitting_heads import Skin, make_head, place_camera, prepare_casting
from relightify_jax.evaluation.fitting_landmarks import LandmarkNoise
from relightify_jax.evaluation.fitting_metrics import Outcome, outer_triangles
from relightify_jax.evaluation.fitting_photos import put_in_the_way, take_photo
from relightify_jax.geometry.camera import project
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.morphable_model import landmarks

SMALL = Case("yaw", "15", 3, face_pixels=48)


@pytest.fixture(scope="module", autouse=True)
def fast_compiling():
    """Compiling with all optimisations would take longer than everything else."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def casting():
    return prepare_casting(load_embedded_model(0), 32)


@pytest.fixture(scope="module")
def skin():
    flat = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), (32, 32, 3))
    return Skin(
        jnp.full((32, 32, 3), jnp.array([0.4, 0.25, 0.18])), jnp.full((32, 32, 1), 0.35), flat
    )


@pytest.fixture(scope="module")
def photograph(casting, skin):
    return functools.cache(functools.partial(take_photo, casting, skin))


def test_the_plan_varies_one_factor_for_the_same_people():
    plan = cases.plan_cases(2, ("yaw", "light"), headline=3, seed=5)
    assert len(plan) == 3 + 2 * (6 + 3) and len({case.name for case in plan}) == len(plan)
    assert all(abs(case.yaw) <= 45 and case.occlusion == "some" for case in plan[:3])
    lit = [case for case in plan if case.factor == "light"]
    assert {case.seed for case in lit} == {5, 6}
    assert {case.light for case in lit} == set(cases.LIGHTS)
    plain = Case("", "", 0)
    assert all(case._replace(factor="", value="", seed=0, light="soft") == plain for case in lit)


def test_a_person_is_the_same_whatever_else_varies(casting):
    model = casting.model
    first, second = (
        cases.draw_expression(model, "random", 4), cases.draw_expression(model, "open mouth", 4)
    )  # fmt: skip
    names = [name.lower() for name in model.expression_names]
    jaw = names.index("jawopen")
    np.testing.assert_array_equal(np.delete(first, jaw), np.delete(second, jaw))
    assert second[jaw] >= 0.45 and first[jaw] <= 0.3
    assert (
        first.min() >= 0
        and first.max() <= 1
        and not cases.draw_expression(model, "neutral", 4).any()
    )
    assert np.abs(cases.draw_identity(model, 4)).max() <= 2.2
    assert not np.array_equal(cases.draw_identity(model, 4), cases.draw_identity(model, 5))


def test_focal_lengths_are_spread_over_their_range():
    focal = [cases.draw_focal(Case("", "", seed)) for seed in range(200)]
    assert 1.6 <= min(focal) < 1.7 and 4.7 < max(focal) <= 5.0
    assert cases.draw_focal(Case("focal", "2.5", 0, focal=2.5)) == 2.5


def test_unknown_names_are_refused(casting):
    with pytest.raises(ValueError, match="no factor 'age'"):
        cases.plan_cases(1, ("age",))
    with pytest.raises(ValueError, match="no expression 'wink'"):
        cases.draw_expression(casting.model, "wink", 0)


@pytest.mark.parametrize("focal", [1.6, 5.0])
def test_the_face_has_the_height_that_was_asked_for(casting, skin, focal):
    case = SMALL._replace(focal=focal, yaw=0.0)
    head = make_head(casting, skin, case)
    camera, width = place_camera(casting.model, head.points, case)
    pixels = np.asarray(project(camera, landmarks(casting.model, head.points))[0])
    assert width == round(256 / 150 * 48)
    assert np.linalg.norm(pixels[10] - pixels[152]) == pytest.approx(48, rel=0.12)
    assert float(camera.focal) == pytest.approx(focal * width)


def test_hair_grows_outside_the_truth(casting, skin):
    head = make_head(casting, skin, SMALL)
    bald = make_head(casting, skin, SMALL, hair=False)
    np.testing.assert_array_equal(head.points, bald.points)
    np.testing.assert_array_equal(bald.shown_points, bald.points)
    grown = np.linalg.norm(np.asarray(head.shown_points - head.points), axis=-1)
    assert 0.005 < grown.max() < 0.021
    chin = np.asarray(casting.model.landmark_vertices)[152]
    assert not np.asarray(head.is_hair)[chin].any()


def test_the_same_case_gives_the_same_photo_and_another_seed_another(photograph, casting, skin):
    again = take_photo(casting, skin, SMALL)
    np.testing.assert_array_equal(photograph(SMALL).photo, again.photo)
    other = photograph(SMALL._replace(seed=4))
    assert np.abs(other.photo - again.photo).mean() > 0.01
    assert again.photo.min() >= 0 and again.photo.max() <= 1
    assert again.is_face.any() and not (again.is_face & ~again.is_head).any()


def test_an_occluder_covers_a_part_of_the_face(photograph):
    bare, covered = photograph(SMALL), photograph(SMALL._replace(occlusion="some"))
    lost = bare.is_face & ~covered.is_face
    assert 0.01 < lost.sum() / bare.is_face.sum() < 0.6
    assert not (covered.is_face & ~bare.is_face).any()
    np.testing.assert_array_equal(bare.landmark_pixels, covered.landmark_pixels)
    assert np.abs(bare.photo - covered.photo)[lost].mean() > 5 * np.abs(
        bare.photo - covered.photo
    )[covered.is_face].mean()  # fmt: skip


def test_both_kinds_of_occluders_come_up(photograph):
    truth = photograph(SMALL)
    areas = [
        put_in_the_way(truth.photo, truth.landmark_pixels, seed)[1].mean() for seed in range(12)
    ]
    assert min(areas) > 0.003 and max(areas) < 0.5


def test_noise_has_its_deviation_and_neighbours_share_it(casting):
    places = np.asarray(landmarks(casting.model, casting.model.mean), float)
    white = np.random.default_rng(0).standard_normal((468, 600))
    np.testing.assert_array_equal(fitting_landmarks.correlate(white, places, 0.0), white)
    noise = fitting_landmarks.correlate(white, places, 0.015)
    assert noise.std() == pytest.approx(1.0, abs=0.05)
    correlation = noise @ noise.T / noise.shape[1]
    distance = np.linalg.norm(places[:, None] - places, axis=-1)
    near, far = (distance > 0.014) & (distance < 0.016), distance > 0.08
    assert correlation[near].mean() == pytest.approx(np.exp(-0.5), abs=0.05)
    assert abs(correlation[far].mean()) < 0.05


def test_landmarks_that_the_head_hides_go_where_the_face_is_seen(photograph, casting):
    truth = photograph(SMALL._replace(yaw=60.0))
    seen = fitting_landmarks.seen_vertices(truth, casting)
    moved = fitting_landmarks.move_hidden(truth, casting)
    distance = np.linalg.norm(moved - truth.landmark_pixels, axis=-1)
    hidden = ~seen[np.asarray(casting.model.landmark_vertices)].any(axis=1)
    assert 80 < hidden.sum() < 300 and not distance[~hidden].any() and distance[hidden].any()
    exact = fitting_landmarks.perturb_landmarks(truth, casting, LandmarkNoise(0.0))
    np.testing.assert_array_equal(exact, moved)


def test_a_method_that_fails_becomes_a_row(photograph, casting):
    def fail(photo, points):
        raise InputError("nothing to see")

    model = casting.model
    mean = Outcome(np.asarray(model.mean), np.asarray(model.mean))
    methods = [
        fitting_protocol.Method("mean", lambda photo, points: mean, model),
        fitting_protocol.Method("broken", fail, model),
    ]
    referee = fitting_protocol.Referee(model, outer_triangles(model))
    true_landmarks = {"true": lambda truth: truth.landmark_pixels, "none": lambda truth: fail(0, 0)}
    arguments = [SMALL], photograph, true_landmarks, methods, referee
    rows = list(fitting_protocol.evaluate(*arguments))
    assert [row.get("error") for row in rows] == [None, *("nothing to see",) * 3]
    assert rows[0]["shape_mm"] > 0.5
    table = {
        (row["method"], row["landmarks"]): row for row in fitting_protocol.summarise_rows(rows)
    }
    assert table["mean", "true"]["num"] == 1 and table["broken", "true"]["failed"] == 1
    assert table["mean", "true"]["shape_mm"] == rows[0]["shape_mm"]
    # What is there already is not done again.
    assert not list(fitting_protocol.evaluate(*arguments, is_done=lambda row: True))
