"""The download of face models, from a mirror on this machine."""

import functools
import hashlib
import http.server
import os
import pathlib
import subprocess
import sys
import threading
import zipfile

import pytest

from data_pipeline import download_face_model
from data_pipeline.download_face_model import DOWNLOADS, download
from relightify_jax.core.errors import InputError

ROOT = pathlib.Path(__file__).parents[2]
TOP = "ICT-FaceKit-master"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files, and /broken, which promises more than it sends."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        if self.path != "/broken":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"PK")


@pytest.fixture
def mirror(tmp_path):
    """A folder and the address under which it is served."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def write_archive(path, changes=None):
    """The official archive, with one line per file; `changes` adds or drops (None) members."""
    members = {f"{TOP}/{name}": f"v of {name}" for name in DOWNLOADS["ict"].essential}
    members |= {
        f"{TOP}/LICENSE": "MIT",
        f"{TOP}/FaceXModel/vertex_indices.json": "{}",
        f"{TOP}/FaceXModel/": "",
        f"{TOP}/Scripts/run.py": "print()",
        f"{TOP}/README.md": "Read me",
    }
    with zipfile.ZipFile(path, "w") as bundle:
        for name, text in {**members, **(changes or {})}.items():
            if text is not None:
                bundle.writestr(name, text)


def tree(folder):
    """Every path below a folder and its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_needed_files_arrive_with_their_checksums(mirror, tmp_path):
    folder, address = mirror
    write_archive(folder / "ict.zip")
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    checksum = download("ict", str(out), f"{address}/ict.zip")
    files = tree(out)
    assert set(files) == {
        *DOWNLOADS["ict"].essential,
        "FaceXModel/vertex_indices.json",
        "LICENSE",
        "SHA256SUMS",
        "notes.txt",
    }
    assert files["FaceXModel/jawOpen.obj"] == b"v of FaceXModel/jawOpen.obj"
    assert checksum == hashlib.sha256(files["SHA256SUMS"]).hexdigest()
    listed = dict(line.split("  ")[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    assert len(listed) == len(files) - 2
    for name, digest in listed.items():
        assert digest == hashlib.sha256(files[name]).hexdigest()
    # Again, over itself, pinned.
    assert download("ict", str(out), f"{address}/ict.zip", checksum.upper()) == checksum
    assert tree(out) == files


def test_a_file_on_this_machine_will_do(tmp_path):
    write_archive(tmp_path / "ict.zip")
    download("ict", str(tmp_path / "out"), (tmp_path / "ict.zip").as_uri())
    assert (tmp_path / "out/FaceXModel/identity099.obj").is_file()


def test_a_single_file_is_kept_under_its_name(mirror, tmp_path):
    folder, address = mirror
    (folder / "other-name.npz").write_bytes(b"model")
    download("gnm", str(tmp_path / "out"), f"{address}/other-name.npz")
    assert set(tree(tmp_path / "out")) == {"gnm_head.npz", "SHA256SUMS"}


def test_members_cannot_leave_the_folder(mirror, tmp_path):
    folder, address = mirror
    evil = {
        f"{TOP}/FaceXModel/../../evil.obj": "outside",
        "/FaceXModel/absolute.obj": "outside",
        f"{TOP}/FaceXModel/sub/deeper.obj": "outside",
        f"{TOP}/FaceXModel/evil\\..\\up.obj": "outside",
        "../LICENSE.obj/../../x": "outside",
    }
    write_archive(folder / "ict.zip", evil)
    before = set(tree(tmp_path))
    download("ict", str(tmp_path / "a/out"), f"{address}/ict.zip")
    new = set(tree(tmp_path)) - before
    assert all(path.startswith("a/out/") for path in new)
    assert not any(b"outside" in content for content in tree(tmp_path / "a").values())


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("missing.zip", "answers 404"),
        ("text.zip", "no readable zip archive"),
        ("short.zip", r"lacks FaceXModel/jawOpen.obj and 1 more"),
        ("damaged.zip", "no readable zip archive"),
        ("broken", "broke off .*2 of 1000 bytes.*run the same command again"),
    ],
)
def test_what_goes_wrong_leaves_the_folder_as_it_was(mirror, tmp_path, page, sentence):
    folder, address = mirror
    (folder / "text.zip").write_text("<html>Sign in</html>")
    dropped = {f"{TOP}/FaceXModel/{name}.obj": None for name in ("jawOpen", "identity042")}
    write_archive(folder / "short.zip", dropped)
    write_archive(folder / "damaged.zip")
    data = (folder / "damaged.zip").read_bytes()
    (folder / "damaged.zip").write_bytes(
        data.replace(b"v of FaceXModel/jaw", b"v of FaceXModel/JAW")
    )
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=sentence) as caught:
        download("ict", str(out), f"{address}/{page}")
    assert "\n" not in str(caught.value)
    assert os.listdir(out) == ["notes.txt"]


def test_another_checksum_keeps_nothing(mirror, tmp_path):
    folder, address = mirror
    write_archive(folder / "ict.zip")
    with pytest.raises(InputError, match="have the checksum .* nothing was kept"):
        download("ict", str(tmp_path / "out"), f"{address}/ict.zip", "0" * 64)
    assert os.listdir(tmp_path / "out") == []


def test_an_oversized_member_is_refused(mirror, tmp_path, monkeypatch):
    folder, address = mirror
    write_archive(folder / "ict.zip", {f"{TOP}/FaceXModel/bomb.obj": "v" * 1000})
    monkeypatch.setattr(download_face_model, "_MAX_MEMBER", 999)
    with pytest.raises(InputError, match="bomb.obj of the archive has 1000 bytes"):
        download("ict", str(tmp_path / "out"), f"{address}/ict.zip")


def test_no_network_is_one_sentence(tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), QuietHandler) as server:
        port = server.server_port  # Free again, and nobody listens, once closed.
    with pytest.raises(InputError, match="cannot be reached .*--url"):
        download("ict", str(tmp_path / "out"), f"http://127.0.0.1:{port}/ict.zip")
    with pytest.raises(InputError, match="is no address"):
        download("ict", str(tmp_path / "out"), "somewhere")


@pytest.mark.parametrize("name", ["flame", "bfm2009", "bfm2017", "bfm2019"])
def test_models_behind_a_form_are_explained(tmp_path, name):
    with pytest.raises(InputError, match=f"get .* at https://.*licence.*--face_model={name}:PATH"):
        download(name, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_program_shows_the_licence_and_exits_with_2_on_errors(tmp_path):
    write_archive(tmp_path / "ict.zip")

    def call(*options):
        command = [sys.executable, "-m", "data_pipeline.download_face_model", *options]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    url = (tmp_path / "ict.zip").as_uri()
    done = call("--name=ict", f"--out={tmp_path / 'out'}", f"--url={url}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ICT-FaceKit light: MIT licence")
    assert f"--face_model=ict:{tmp_path / 'out'}" in done.stdout
    form = call("--name=flame")
    assert form.returncode == 2 and "https://flame.is.tue.mpg.de" in form.stderr
    assert "Traceback" not in form.stderr
