"""Fetches a face model that is free to download, or says where to get one that is not.

python -m data_pipeline.download_face_model --name=ict --out=DIR

The folder gets the files that the reader needs and SHA256SUMS, their checksums as
`sha256sum --check` reads them; --sha256 is the checksum of that list, so one number pins
all files. A folder is either whole or as it was before. Without a network on the machine,
fetch the address by other means and give the file as --url=file:///PATH.
"""

import hashlib
import http.client
import pathlib
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from typing import NamedTuple

from absl import app, flags
from tqdm import tqdm

from relightify_jax.core.errors import InputError
from relightify_jax.core.files import staged_folder
from relightify_jax.geometry.face_files import bfm, flame

_CHUNK = 1 << 18
_TIMEOUT = 60.0  # Seconds without a byte.
_MAX_MEMBER = 1 << 28  # Bytes; the largest file of any of the models has a fifth of it.


class Download(NamedTuple):
    """A model that may be fetched without a form."""

    url: str
    licence: str  # Shown before the download.
    file: str | None  # Name to store the download under; None unpacks a zip archive.
    # Of an archive: a member is stored as the named groups of the first pattern it matches.
    members: tuple[str, ...]
    essential: tuple[str, ...]  # Paths without which the model cannot be used.
    usage: str


_ICT_FOLDER = r"[^/]+/(?P<folder>FaceXModel)"
DOWNLOADS = {
    "ict": Download(
        url="https://github.com/ICT-VGL/ICT-FaceKit/archive/refs/heads/master.zip",
        licence=(
            "ICT-FaceKit light: MIT licence, (c) 2020 USC Institute for Creative Technologies, "
            "https://github.com/ICT-VGL/ICT-FaceKit"
        ),
        file=None,
        members=(
            _ICT_FOLDER + r"/(?P<file>[A-Za-z0-9_]+\.(obj|json))",
            r"[^/]+/(?P<file>LICENSE[A-Za-z0-9_.]*)",
        ),
        essential=(
            "FaceXModel/generic_neutral_mesh.obj",
            "FaceXModel/jawOpen.obj",
            *(f"FaceXModel/identity{i:03d}.obj" for i in range(100)),
        ),
        usage="--face_model=ict:{out}",
    ),
    "gnm": Download(
        url="https://huggingface.co/google/gnm-v3/resolve/main/v3_0/gnm_head.npz",
        licence="GNM Head 3.0: Apache 2.0, Google, https://huggingface.co/google/gnm-v3",
        file="gnm_head.npz",
        members=(),
        essential=("gnm_head.npz",),
        usage="--face_model=gnm:{out}",
    ),
}
_BEHIND_FORMS = {
    "flame": flame.ORIGIN,
    "bfm2009": bfm.ORIGIN_2009,
    "bfm2017": bfm.ORIGIN_2017,
    "bfm2019": bfm.ORIGIN_2017,
}


def download(name: str, out: str, url: str | None = None, sha256: str | None = None) -> str:
    """Fetches a model into the folder `out`.

    Args:
        name: A key of `DOWNLOADS`; others are explained.
        out: The folder; what it holds already is replaced only by the same names.
        url: Another address of the same file, such as a mirror's.
        sha256: What the checksum of SHA256SUMS has to be.

    Returns:
        The checksum of SHA256SUMS.

    Raises:
        InputError: If the model needs a form, the address cannot be reached, the file is
            damaged, incomplete or another one; the folder is then as it was.
    """
    model = _find(name)
    with staged_folder(out) as stage:
        with tempfile.TemporaryDirectory(prefix=".part-", dir=out) as scratch:
            fetched = pathlib.Path(scratch) / "download"
            _fetch(url or model.url, fetched)
            if model.file is None:
                _unpack(fetched, stage, model)
            else:
                shutil.move(fetched, stage / model.file)
        missing = [path for path in model.essential if not (stage / path).is_file()]
        if missing:
            raise InputError(
                f"{url or model.url} is not {name}: it lacks {missing[0]}"
                f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}; give another "
                "--url or none."
            )
        checksum = _write_checksums(stage)
        if sha256 is not None and checksum != sha256.lower():
            raise InputError(
                f"The files have the checksum {checksum}, not {sha256.lower()}; nothing was "
                "kept. Give another --url, or leave --sha256 out to accept what was fetched."
            )
    return checksum


def _find(name: str) -> Download:
    """The model `name`, or an error that says how to get it."""
    if name in DOWNLOADS:
        return DOWNLOADS[name]
    if name in _BEHIND_FORMS:
        origin = _BEHIND_FORMS[name]
        raise InputError(
            f"{name} cannot be fetched for you: get {origin.file} at {origin.url} "
            f"(licence: {origin.licence}) and give --face_model={name}:PATH to the programs."
        )
    raise InputError(
        f"Unknown face model {name!r}; give --name={'|'.join((*DOWNLOADS, *_BEHIND_FORMS))}."
    )


def _fetch(url: str, target: pathlib.Path) -> None:
    """Writes what lies at `url` to `target`, with a progress bar."""
    retry = "check the network and run the same command again, or give a mirror with --url"
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "relightify-jax"})
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer, target.open("wb") as file:
            length = answer.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            with tqdm(total=total, unit="B", unit_scale=True, desc="download") as progress:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    progress.update(len(chunk))
            if total is not None and progress.n != total:
                raise ConnectionError(f"ended after {progress.n} of {total} bytes")
    except urllib.error.HTTPError as error:
        raise InputError(f"{url} answers {error.code} ({error.reason}); {retry}.") from None
    except urllib.error.URLError as error:
        raise InputError(f"{url} cannot be reached ({error.reason}); {retry}.") from None
    except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
        raise InputError(f"The download of {url} broke off ({error}); {retry}.") from None
    except OSError as error:
        raise InputError(f"The download cannot be written ({error.strerror}).") from None
    except ValueError as error:
        raise InputError(f"{url} is no address ({error}); give --url=https://...") from None


def _unpack(archive: pathlib.Path, stage: pathlib.Path, model: Download) -> None:
    """Writes the wanted members of a zip archive into `stage`.

    A member's own path is only compared, never written to: it names one of our files or is
    left out.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            for member in tqdm(bundle.infolist(), "unpack", unit="file"):
                found = _match(member.filename, model.members)
                if found is None:
                    continue
                if member.file_size > _MAX_MEMBER:
                    raise InputError(
                        f"{member.filename} of the archive has {member.file_size} bytes, more "
                        "than any face model; give another --url."
                    )
                target = stage / found
                target.parent.mkdir(exist_ok=True)
                with bundle.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, _CHUNK)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise InputError(
            f"The download is no readable zip archive ({error}); run the same command again or "
            "give another --url."
        ) from None


def _match(member: str, patterns: tuple[str, ...]) -> str | None:
    """Where a member of an archive goes, relative to the folder; None for nowhere."""
    for pattern in patterns:
        if found := re.fullmatch(pattern, member):
            return "/".join(found.groupdict().values())
    return None


def _write_checksums(folder: pathlib.Path) -> str:
    """Writes SHA256SUMS of all files in `folder`; returns its own checksum."""
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    text = "".join(lines).encode()
    (folder / "SHA256SUMS").write_bytes(text)
    return hashlib.sha256(text).hexdigest()


def define_flags() -> None:
    """Defines the options; not at import, where those of two programs would clash."""
    flags.DEFINE_string("name", None, "ict or gnm; flame and bfm2009|2017|2019 are explained.")
    flags.DEFINE_string("out", None, "Folder for the model.")
    flags.DEFINE_string("url", None, "Another address of the file, e.g. a mirror or file:///PATH.")
    flags.DEFINE_string("sha256", None, "What the checksum of SHA256SUMS has to be.")


def main(argv: Sequence[str]) -> None:
    """Entry point."""
    given = flags.FLAGS
    try:
        if len(argv) > 1:
            raise InputError(f"Unexpected argument {argv[1]!r}; everything is given by flags.")
        if not given.name:
            raise InputError("--name is missing; give the model, e.g. --name=ict.")
        model = _find(given.name)
        if not given.out:
            raise InputError("--out is missing; give a folder for the model.")
        print(model.licence, flush=True)
        checksum = download(given.name, given.out, given.url, given.sha256)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(InputError.EXIT_CODE)
    print(f"Done. --sha256={checksum} pins these files; use {model.usage.format(out=given.out)}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
