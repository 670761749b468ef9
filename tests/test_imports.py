"""The house rules of docs/ARCHITECTURE.md, read from the source."""

import ast
import functools
import os
import pathlib
import subprocess
import sys
import warnings

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("relightify_jax", "configs", "data_pipeline", "experiments")
SOURCES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# Which rooms of the library a room may import, besides itself.
MAY_IMPORT = {
    "core": set(),
    "geometry": {"core"},
    "rendering": {"geometry", "core"},
    "landmarks": {"core"},
    "face_models": {"landmarks", "rendering", "geometry", "core"},
    "fitting": {"rendering", "geometry", "core"},
    "skin": {"core"},
    "models": {"core"},
    "diffusion": {"core"},
    "prior": {"models", "diffusion", "core"},
    "light_stage": {"rendering", "geometry", "core"},
    "train": {"models", "diffusion", "prior", "light_stage", "rendering", "core"},
    "export": {"rendering", "geometry", "core"},
    "evaluation": {"rendering", "geometry", "core"},
    "pipeline": {"landmarks", "face_models", "fitting", "prior", "rendering", "geometry", "core"},
    "data_pipeline": {
        *("face_models", "landmarks", "skin", "light_stage", "export"),
        *("rendering", "geometry", "core"),
    },
}
# Usable on a machine that has only JAX, Flax, Optax, NumPy and SciPy.
LIGHT_ROOMS = {"core", "geometry", "rendering", "fitting", "landmarks", "skin", "models"}
LIGHT_ROOMS |= {"diffusion", "prior", "pipeline", "face_models", "light_stage"}
HEAVY_PACKAGES = {"grain", "clu", "ml_collections", "tensorflow_datasets", "orbax", "etils"}
IMPORTED_IN_ONE_FILE = ("orbax", "clu.metric_writers", "tensorflow_datasets")
NEVER_IMPORTED = (
    "tensorflow",
    "torch",
    "cv2",
    "imageio",  # Writes TIFF bytes into .exr and .hdr files.
    "jax._src",
    "jax.core",
    "jax.interpreters",
    "jax.experimental.pjit",
    "flax.training",
    "flax.nnx",
)
FILE_LINES, FILE_LINES_LIMIT = 400, 450
FUNCTION_LINES, FUNCTION_LINES_LIMIT = 60, 75


@functools.cache
def parse(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_names(tree: ast.AST) -> set[str]:
    """Dotted names that `tree` imports, at any depth; `from a import b` gives a.b."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def room_of(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "relightify_jax" else parts[0]


def name_of(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def forbidden_imports(room: str, names: set[str]) -> set[str]:
    """The members of `names` that a module in `room` must not import."""
    wrong = set()
    for name in names:
        package, *rest = name.split(".")
        if room == "configs":
            allowed = package in {"ml_collections", "configs", *sys.stdlib_module_names}
        elif room == "experiments":
            allowed = True
        elif package == "relightify_jax":
            allowed = not rest or rest[0] in MAY_IMPORT.get(room, set()) | {room, "__version__"}
        elif package in PACKAGES:
            allowed = package == room
        else:
            allowed = room not in LIGHT_ROOMS or package not in HEAVY_PACKAGES
        if not allowed or any(under(name, never) for never in NEVER_IMPORTED):
            wrong.add(name)
    return wrong


def test_a_room_imports_only_the_rooms_below_it():
    wrong = {
        name_of(path): forbidden_imports(room_of(path), imported_names(parse(path)))
        for path in SOURCES
    }
    assert {name: imports for name, imports in wrong.items() if imports} == {}


@pytest.mark.parametrize(
    ("room", "statement"),
    [
        ("models", "from relightify_jax.diffusion import losses"),
        ("diffusion", "import relightify_jax.models.unet"),
        ("pipeline", "from relightify_jax.train import loop"),
        ("train", "from configs import diffusion"),
        ("prior", "import ml_collections"),
        ("configs", "import jax"),
        ("data_pipeline", "import tensorflow as tf"),
        ("geometry", "def f():\n    from jax._src import core"),
    ],
)
def test_a_forbidden_import_is_noticed(room, statement):
    assert forbidden_imports(room, imported_names(ast.parse(statement)))


def test_every_room_has_its_rule():
    rooms = {room_of(path) for path in SOURCES} - {"__init__", "configs", "experiments"}
    assert rooms <= set(MAY_IMPORT)


@pytest.mark.parametrize("package", IMPORTED_IN_ONE_FILE)
def test_a_replaceable_package_is_imported_in_one_file(package):
    users = [
        name_of(path)
        for path in SOURCES
        if any(under(name, package) for name in imported_names(parse(path)))
    ]
    assert len(users) <= 1, users


def test_the_corridor_needs_none_of_the_training_packages():
    program = (
        "import sys, relightify_jax.pipeline\n"
        f"print(*sorted({HEAVY_PACKAGES - {'orbax', 'etils'}!r} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == ""


def test_every_file_says_what_it_is_for():
    assert [name_of(path) for path in SOURCES if not ast.get_docstring(parse(path))] == []
    assert [name_of(path) for path in SOURCES + TESTS if path.name == "utils.py"] == []


def over(lengths: dict[str, int], advice: int, limit: int) -> list[str]:
    """What is longer than `limit`; warns of what is longer than `advice`."""
    long = {name: lines for name, lines in lengths.items() if lines > advice}
    if long:
        warnings.warn(f"longer than {advice} lines: {long}", stacklevel=2)
    return [name for name, lines in long.items() if lines > limit]


def test_files_are_short():
    lengths = {
        name_of(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCES + TESTS
    }
    assert over(lengths, FILE_LINES, FILE_LINES_LIMIT) == []


def length_without_docstring(function: ast.FunctionDef) -> int:
    """Lines of a function; what its arguments are is not what makes one hard to read."""
    text = function.body[0]
    documented = ast.get_docstring(function) is not None
    docstring = text.end_lineno - text.lineno + 1 if documented else 0
    return function.end_lineno - function.lineno + 1 - docstring


def test_functions_are_short():
    lengths = {
        f"{name_of(path)}:{node.name}": length_without_docstring(node)
        for path in SOURCES
        for node in ast.walk(parse(path))
        # A config is a table, not a program.
        if isinstance(node, ast.FunctionDef) and node.name != "get_config"
    }
    assert over(lengths, FUNCTION_LINES, FUNCTION_LINES_LIMIT) == []


def test_the_library_changes_no_global_setting():
    forbidden = {"jax.config.update", "numpy.random.seed", "np.random.seed"}
    for path in SOURCES:
        if name_of(path).startswith("relightify_jax"):
            calls = (node for node in ast.walk(parse(path)) if isinstance(node, ast.Call))
            assert not forbidden & {ast.unparse(call.func) for call in calls}, path
