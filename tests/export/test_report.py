"""The interactive page: its text by reading it, its pictures by a headless Chromium."""

import base64
import hashlib
import json
import re
import shutil
import subprocess

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from relightify_jax.core.color import srgb_from_linear
from relightify_jax.core.uv_layout import SKIN_SPECULAR_ALBEDO
from relightify_jax.export.encoding import png_bytes
from relightify_jax.export.glb import encode_glb
from relightify_jax.export.materials import Material
from relightify_jax.export.report import write_report
from relightify_jax.geometry.camera import Camera
from relightify_jax.rendering.lighting import named_lights
from relightify_jax.rendering.shading import SKIN_ROUGHNESS, shade

ALBEDO = (0.45, 0.28, 0.21)
PHOTO_COLOR = (10, 200, 30)
CAMERA = Camera(
    jnp.float32(600.0), jnp.array([320.0, 240.0]), jnp.zeros(3), jnp.array([0.0, 0.0, -0.5])
)


@pytest.fixture(scope="module")
def plain_glb(small_head):
    """The ball in one colour, so that a pixel's colour is known in closed form."""
    materials = {
        part.name: Material(
            "skin_face" if part.name == "face" else part.name,
            np.full((4, 4, 3), ALBEDO),
            SKIN_SPECULAR_ALBEDO,
            SKIN_ROUGHNESS,
        )
        for part in small_head.parts[:2]
    }
    return encode_glb(small_head.parts[:2], materials)


@pytest.fixture(scope="module")
def page(plain_glb, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    photo = png_bytes(np.full((48, 64, 3), PHOTO_COLOR, np.uint8))
    ramp = np.linspace(0, 255, 32 * 32).reshape(32, 32, 1).astype(np.uint8)
    images = {"photo": photo, "render": photo, "confidence": png_bytes(ramp), "my_strip": photo}
    write_report(
        path,
        title='A & B </script><script>alert("x")</script>',
        glb_bytes=plain_glb,
        images=images,
        run={"seed": 0, "timings": {"fit": 1.25}, "note": "<b>{{glb}}</b>"},
        lights=named_lights(),
        camera=CAMERA,
        image_size=(480, 640),
    )
    return path


def embedded(text, element):
    return re.search(rf'<script type="[^"]*" id="{element}">(.*?)</script>', text, re.DOTALL)[1]


def test_the_page_holds_the_glb_once(page, plain_glb):
    text = page.read_text()
    assert base64.b64decode(embedded(text, "glb")) == plain_glb
    assert text.count(base64.b64encode(plain_glb[:300]).decode()) == 1


def test_what_the_user_writes_is_text(page):
    text = page.read_text()
    assert "<script>alert" not in text
    assert "A &amp; B &lt;/script&gt;" in text
    assert "&lt;b&gt;{{glb}}&lt;/b&gt;" in text


def test_the_policy_allows_this_script_and_style_and_no_connection(page):
    text = page.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    for kind, pattern in (
        ("script", r"<script>(.*?)</script>"),
        ("style", r"<style>(.*?)</style>"),
    ):
        (content,) = re.findall(pattern, text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy
    assert not re.search(r'(src|href)="https?:', text)


def test_pictures_and_facts_are_shown(page):
    text = page.read_text()
    for words in ("My strip", "Timings", "1.25", "Re-render", "Confidence"):
        assert words in text
    assert len(re.findall(r'data-picture="photo"', text)) == 1


def test_the_same_input_gives_the_same_page(page, plain_glb, tmp_path):
    arguments = {"glb_bytes": plain_glb, "images": {}, "run": {}, "lights": named_lights()}
    for name in ("a", "b"):
        write_report(tmp_path / name, title="t", **arguments)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lights": {}}, "at least one light"),
        ({"images": {"photo": b"GIF89a"}}, "neither PNG"),
        ({"camera": CAMERA}, "needs its image_size"),
        (
            {
                "camera": CAMERA,
                "image_size": (480, 480),
                "images": {"photo": png_bytes(np.zeros((48, 64, 3), np.uint8))},
            },
            "that very picture",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(tmp_path, changes, message):
    arguments = {"images": {}, "run": {}, "lights": named_lights(), "glb_bytes": b"glTF"}
    with pytest.raises(ValueError, match=message):
        write_report(tmp_path / "page.html", title="t", **(arguments | changes))


# ---- in a browser ---------------------------------------------------------------------


def open_page(page, settings, tmp_path, *, size=(900, 700), webgl=True):
    """Loads the page in Chromium; returns the JSON status and the screenshot (H, W, 3)."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if browser is None:
        pytest.skip("no chromium")
    software = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    command = [
        *(browser, "--headless", "--no-sandbox", "--hide-scrollbars", "--force-color-profile=srgb"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(software if webgl else ["--disable-3d-apis"]),
        *(f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={size[0]},{size[1]}"),
        *("--virtual-time-budget=5000", f"--screenshot={tmp_path / 'shot.png'}", "--dump-dom"),
        f"{page.as_uri()}#{settings}",
    ]
    for attempt in range(2):  # A busy machine starves a browser now and then.
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            break
        except subprocess.TimeoutExpired:
            if attempt:
                raise
    status = re.search(r'<pre id="status"[^>]*>(.*?)</pre>', done.stdout, re.DOTALL)
    assert status, done.stderr[-2000:]
    shot = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB"))
    return json.loads(status[1].replace("&lt;", "<").replace("&gt;", ">")), shot


def test_the_page_shades_like_the_library(page, tmp_path):
    status, _ = open_page(
        page, "light=studio&shadows=0&scatter=0&el=0&probe=0.5,0.5,0.02,0.02", tmp_path
    )
    assert status["ok"] and status["error"] is None
    assert status["parts"] == ["skin_face", "head"]
    assert "confidence" in status["views"] and "texture" not in status["views"]
    front = jnp.array([0.0, 0.0, 1.0])
    color = shade(
        jnp.array(ALBEDO), jnp.array([SKIN_SPECULAR_ALBEDO]), front, front, named_lights()["studio"]
    )
    expected = np.asarray(srgb_from_linear(color)) * 255
    # The page rounds the light's direction to whole degrees, the GLB the albedo to 8 bits.
    np.testing.assert_allclose(status["probe"][0], [*expected, 255], atol=3)
    np.testing.assert_array_equal(status["probe"][1], [0, 0, 0, 0])


def test_on_a_phone_the_head_is_relit_inside_the_photo(page, tmp_path):
    status, shot = open_page(
        page, "mode=photo&view=diffuse&whole=1&split=50", tmp_path, size=(500, 1000)
    )
    assert status["ok"] and status["settings"]["mode"] == "photo"
    assert status["overflow"] == 0
    albedo = np.rint(np.asarray(srgb_from_linear(jnp.array(ALBEDO))) * 255)
    near = lambda color: np.abs(shot.astype(int) - color).max(-1) <= 3  # noqa: E731
    in_photo, on_head = np.argwhere(near(PHOTO_COLOR)), np.argwhere(near(albedo))
    assert len(in_photo) > 20_000 and len(on_head) > 500
    left, right = in_photo[:, 1].min(), in_photo[:, 1].max()
    middle = (left + right) / 2
    # Only the right half of the ball is drawn, up to the divider's soft shadow.
    assert middle - 2 <= on_head[:, 1].min() <= middle + 14
    # A ball of radius r at distance d seen with focal length f is f r / sqrt(d^2 - r^2) wide.
    scale = (right - left + 1) / 640
    reach = 600 * 0.1 / np.sqrt(0.5**2 - 0.1**2) * scale
    assert on_head[:, 1].max() - middle == pytest.approx(reach, abs=2.5)


def test_without_webgl_a_still_picture_is_shown(page, tmp_path):
    status, shot = open_page(page, "", tmp_path, webgl=False)
    assert not status["ok"] and "WebGL2" in status["error"]
    assert (np.abs(shot.astype(int) - PHOTO_COLOR).max(-1) <= 3).sum() > 20_000
