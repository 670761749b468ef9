"""The benchmark program at its smallest."""

import json

import jax
import pytest

from configs.benchmark import get_config
from experiments import benchmark
from relightify_jax.core.errors import InputError
from relightify_jax.evaluation import rasterizer_benchmark

PROGRAMS = {"visibility", "visibility, sort mode", "attributes", "gradient", "antialias",
            "antialias gradient"}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmark")
    # Compiling with all optimisations would take longer than everything else.
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        text = benchmark.run(get_config("rasterizer_smoke"), out)
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
    assert text == (out / "table.md").read_text()
    return out


def test_every_program_has_a_sane_row(results):
    rows = json.loads((results / "results.json").read_text())
    assert {row["program"] for row in rows} >= PROGRAMS | {"gradient, 2 by vmap"}
    for row in rows:
        assert 0 < row["min_ms"] <= row["median_ms"] < 10_000
        assert row["setup_s"] > 0 and row["triangles"] == 320 and row["repeats"] == 3
    by_program = {row["program"]: row for row in rows}
    assert by_program["visibility, sort mode"]["differing"] == 0
    assert by_program["gradient"]["temp_mb"] > by_program["attributes"]["temp_mb"] > 0


def test_the_table_shows_rows_and_what_peers_were(results):
    text = (results / "table.md").read_text()
    rows = json.loads((results / "results.json").read_text())
    assert sum(line.startswith("| sphere:2") for line in text.splitlines()) == len(rows)
    for peer in ("opengl", "embree", "pytorch3d"):
        assert f"\n- {peer}: " in text
    assert len((results / "table.csv").read_text().splitlines()) == len(rows) + 1


def test_ratios_are_to_opengl_of_the_same_scene(results):
    rows = json.loads((results / "results.json").read_text())
    opengl = {row["size"]: row["min_ms"] for row in rows if row["program"] == "opengl"}
    if not opengl:
        pytest.skip("no OpenGL on this machine")
    for row in rows:
        if "batch" not in row:
            assert row["per_opengl"] == pytest.approx(row["min_ms"] / opengl[row["size"]])


def test_the_run_is_recorded(results):
    record = json.loads((results / "run.json").read_text())
    assert record["config"]["meshes"] == ["sphere:2"]
    assert record["facts"]["device"] and record["facts"]["cores"] > 0
    assert record["versions"]["jax"]


def test_targets_are_shown_for_llvmpipe_only():
    rows = [dict(program="visibility", mesh="head", size=256, per_opengl=1.6),
            dict(program="visibility", mesh="head", size=512, per_opengl=1.4)]  # fmt: skip
    (sentence,) = rasterizer_benchmark.targets(rows, {"opengl": "opengl: llvmpipe."})
    assert "256 px 1.60 (missed), head at 512 px 1.40 (met)" in sentence
    assert rasterizer_benchmark.targets(rows, {"opengl": "opengl: NVIDIA H200."}) == []
    assert rasterizer_benchmark.targets(rows, {}) == []


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'rasterizer', 'rasterizer_smoke'"):
        get_config("raytracer")
    config = get_config("rasterizer_smoke")
    config.benchmark = "raytracer"
    with pytest.raises(InputError, match="choose from rasterizer"):
        benchmark.run(config, tmp_path)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (dict(peers=("vulkan",)), "'vulkan'; choose from opengl"),
        (dict(sizes=()), "nothing to measure"),
        (dict(sizes=(32, 5000)), "got 5000"),
        (dict(meshes=("torus:1",)), "torus"),
    ],
)
def test_impossible_plans_are_explained(tmp_path, entries, words):
    config = get_config("rasterizer_smoke")
    config.update(entries)
    with pytest.raises(InputError, match=words):
        benchmark.run(config, tmp_path)
    assert list(tmp_path.iterdir()) == []
