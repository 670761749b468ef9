"""What surrounds the code: requirements, lock, package, README commands, notices."""

import ast
import functools
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("relightify_jax", "configs", "data_pipeline", "experiments")
PYTHONS = ("3.11", "3.12", "3.13")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# Distributions whose import name differs; the others are imported by their own name.
IMPORT_NAMES = {
    "absl-py": "absl",
    "apache-beam": "apache_beam",
    "array-record": "array_record",
    "importlib-resources": None,  # Used by tensorflow-datasets.
    "ml-collections": "ml_collections",
    "orbax-checkpoint": "orbax",
    "pillow": "PIL",
    "openexr": "OpenEXR",
    "pillow-heif": "pillow_heif",
    "scikit-image": "skimage",
    "tensorflow-datasets": "tensorflow_datasets",
}


def assigned(path: pathlib.Path, name: str):
    """The literal that the module at `path` assigns to `name`."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{path} does not assign {name}")


RUNTIME = [Requirement(line) for line in assigned(ROOT / "setup.py", "INSTALL")]
EXTRAS = {
    extra: [Requirement(line) for line in lines]
    for extra, lines in assigned(ROOT / "setup.py", "EXTRAS").items()
}
LOCK = [Requirement(line) for line in (ROOT / "requirements-lock.txt").read_text().splitlines()]


def import_name(requirement: Requirement) -> str | None:
    name = canonicalize_name(requirement.name)
    return IMPORT_NAMES.get(name, name)


@functools.cache
def imported_packages(*folders: str) -> set[str]:
    names = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - set(PACKAGES)


def test_every_import_is_a_declared_requirement():
    optional = [requirement for extra in EXTRAS if extra != "dev" for requirement in EXTRAS[extra]]
    declared = {import_name(requirement) for requirement in RUNTIME + optional}
    # jaxlib comes with jax.
    assert imported_packages(*PACKAGES) <= declared | {"jaxlib"}


@pytest.mark.parametrize("requirement", RUNTIME + EXTRAS["heic"], ids=str)
def test_every_requirement_is_imported(requirement):
    name = import_name(requirement)
    if name is None:
        pytest.skip("an undeclared requirement of another package")
    assert name in imported_packages(*PACKAGES)


def test_tests_import_only_what_the_dev_extra_installs():
    declared = {import_name(requirement) for requirement in RUNTIME + EXTRAS["dev"]}
    optional = {import_name(requirement) for extra in EXTRAS.values() for requirement in extra}
    helpers = {path.stem for path in (ROOT / "tests").rglob("*.py")} | {"packaging"}
    assert imported_packages("tests") <= declared | optional | helpers


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_pins_every_requirement_once_for_each_python(python):
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    pins = [pin for pin in LOCK if pin.marker is None or pin.marker.evaluate(environment)]
    versions = {canonicalize_name(pin.name): pin for pin in pins}
    assert len(versions) == len(pins)
    # Beam wants older versions of what others use; docs/DATA.md says how to install it.
    extras = [r for name, extra in EXTRAS.items() if name != "beam" for r in extra]
    for requirement in RUNTIME + extras:
        pin = versions[canonicalize_name(requirement.name)]
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert requirement.specifier.contains(specifier.version)


def test_lock_names_no_host():
    assert not re.search(r"://|--|@|file:", (ROOT / "requirements-lock.txt").read_text())


def test_every_folder_with_code_is_a_package():
    folders = {path.parent for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    assert {folder.name for folder in folders if not (folder / "__init__.py").is_file()} == set()


def test_every_asset_has_its_notice():
    assets = ROOT / "relightify_jax" / "assets"
    notices = (assets / "LICENCES.md").read_text(encoding="utf-8")
    files = [path.relative_to(assets) for path in assets.rglob("*") if path.is_file()]
    missing = [
        file.as_posix()
        for file in files
        if file.name != "LICENCES.md"
        and file.suffix not in (".py", ".pyc")
        # By its own name or by its folder's.
        and not any(f"`{name}`" in notices for name in (file.as_posix(), f"{file.parts[0]}/"))
    ]
    assert not missing


def commands() -> list[str]:
    """Every `python -m MODULE ...` in the documents' code blocks, continued lines joined."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8").replace("\\\n", " ")
        found += re.findall(r"python -m ((?:experiments|data_pipeline)\.[^\n`#|&]*)", text)
    return sorted({" ".join(command.split()) for command in found})


def flags_of(path: pathlib.Path) -> set[str]:
    """Names of the absl flags or argparse options that the module at `path` defines."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = ast.unparse(node.func).split(".")[-1]
            if function.startswith("DEFINE_") or function == "add_argument":
                names.add(str(node.args[0].value).removeprefix("--"))
    return names


@pytest.mark.parametrize("command", commands(), ids=str)
def test_documented_commands_use_flags_that_exist(command):
    module, *arguments = command.split()
    path = ROOT / (module.replace(".", "/") + ".py")
    assert path.is_file()
    flags = flags_of(path)
    for argument in arguments:
        if not argument.startswith("--") or argument == "--help":
            continue
        name, _, value = argument[2:].partition("=")
        assert name.split(".")[0] in flags
        if name == "config":
            variant = value.partition(":")[2]
            config = load_config(value.partition(":")[0])
            config.get_config(variant) if variant else config.get_config()


def load_config(name: str):
    spec = importlib.util.spec_from_file_location("config", ROOT / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document):
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [t for t in targets if not (document.parent / t).exists()] == []


def test_no_path_of_a_particular_machine():
    pattern = re.compile(r"(?<![\w.~])/(?:" + "|".join(["work", "root", "home", "Users"]) + r")/\w")
    folders = [ROOT / name for name in (*PACKAGES, "tests", "docs")]
    files = [path for folder in folders for path in folder.rglob("*")] + list(ROOT.glob("*"))
    files += [ROOT / ".ci" / "run"]
    for path in files:
        if path.suffix in (".py", ".md", ".toml", ".txt", ".html", "") and path.is_file():
            assert not pattern.search(path.read_text(encoding="utf-8")), path


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("target", ["sample", "test", "lint"])
def test_make_knows_its_targets(target):
    result = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ([], '--demo --out="out"'),
        (["PHOTO=my face.jpg", "OUT=my head"], '--image="my face.jpg" --out="my head"'),
    ],
)
def test_make_sample_passes_photo_and_folder(variables, expected):
    result = subprocess.run(
        ["make", "--dry-run", "sample", *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert expected in " ".join(result.stdout.split())
