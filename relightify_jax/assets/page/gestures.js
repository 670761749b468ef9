// Pointer, wheel and keyboard on the stage and the light ball; the picture gallery.

function turnHead(dx, dy) {
  change({ az: wrapDegrees(settings.az + dx), el: clamp(settings.el + dy, -85, 85) });
}

function moveLight(dx, dy) {
  change({ laz: Math.round(wrapDegrees(settings.laz + dx)), lel: Math.round(clamp(settings.lel + dy, -89, 89)) });
}

function zoomBy(factor) {
  change({ zoom: clamp(settings.zoom * factor, 0.25, 3) });
}

function listenStage() {
  const canvas = $("canvas"), pointers = new Map();
  canvas.addEventListener("contextmenu", (e) => e.preventDefault());
  canvas.addEventListener("pointerdown", (e) => {
    canvas.setPointerCapture(e.pointerId);
    pointers.set(e.pointerId, [e.clientX, e.clientY]);
  });
  for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, (e) => pointers.delete(e.pointerId));
  canvas.addEventListener("pointermove", (e) => {
    const last = pointers.get(e.pointerId);
    if (!last) return;
    const dx = e.clientX - last[0], dy = e.clientY - last[1];
    const other = [...pointers].find(([id]) => id !== e.pointerId);
    pointers.set(e.pointerId, [e.clientX, e.clientY]);
    if (other) {
      const span = (p) => Math.hypot(p[0] - other[1][0], p[1] - other[1][1]);
      zoomBy(span(last) / Math.max(span([e.clientX, e.clientY]), 1));
    } else if (e.shiftKey || e.buttons === 2 || settings.grip === "light" || settings.mode === "photo") {
      moveLight(dx * 0.5, -dy * 0.5);
    } else {
      turnHead(-dx * 0.4, dy * 0.4);
    }
  });
  canvas.addEventListener("wheel", (e) => {
    if (settings.mode === "photo") return;
    e.preventDefault();
    zoomBy(Math.exp(clamp(e.deltaY, -200, 200) * 0.0012));
  }, { passive: false });
  canvas.addEventListener("keydown", (e) => {
    const step = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, 5], ArrowDown: [0, -5] }[e.key];
    if (step && (e.shiftKey || settings.mode === "photo")) moveLight(...step);
    else if (step) turnHead(...step);
    else if (e.key === "+" || e.key === "=") zoomBy(0.9);
    else if (e.key === "-") zoomBy(1 / 0.9);
    else return;
    e.preventDefault();
  });
  listenBall();
}

function listenBall() {
  const ball = $("ball");
  const aim = (e) => {
    const box = ball.getBoundingClientRect();
    let x = ((e.clientX - box.left) / box.width - 0.5) / 0.42, y = (0.5 - (e.clientY - box.top) / box.height) / 0.42;
    const r = Math.hypot(x, y);
    if (r > 1) { x /= r; y /= r; }
    // Beyond the rim the light goes round behind the head.
    const depth = r <= 1 ? Math.sqrt(1 - r * r) : -Math.min(r - 1, 0.6);
    const { frame } = currentCamera();
    const direction = normalize(add(add(scale(frame[0], x), scale(frame[1], y)), scale(frame[2], depth)));
    const [azimuth, elevation] = anglesFromDirection(direction);
    change({ laz: Math.round(azimuth), lel: Math.round(clamp(elevation, -89, 89)) });
  };
  ball.addEventListener("pointerdown", (e) => { ball.setPointerCapture(e.pointerId); aim(e); });
  ball.addEventListener("pointermove", (e) => { if (ball.hasPointerCapture(e.pointerId)) aim(e); });
  ball.addEventListener("keydown", (e) => {
    const step = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, 5], ArrowDown: [0, -5] }[e.key];
    if (!step) return;
    moveLight(...step);
    e.preventDefault();
  });
}

/** Pictures that are inside the GLB are shown from there, so that the page holds them once. */
function fillGallery(parts) {
  for (const image of document.querySelectorAll("img[data-glb]")) {
    const [partName, kind] = image.dataset.glb.split("/");
    const part = parts.find(({ name }) => name === partName), url = part && part.images[kind];
    if (url) image.src = url;
    image.closest("figure").hidden = !url;
  }
}

function listenGallery() {
  for (const button of document.querySelectorAll(".map button")) {
    button.addEventListener("click", () => {
      const image = button.querySelector("img");
      Object.assign($("viewer-image"), { src: image.src, alt: image.alt });
      $("viewer-caption").textContent = button.closest("figure").querySelector("figcaption").textContent;
      $("viewer").showModal();
    });
  }
  $("viewer").addEventListener("click", (e) => { if (e.target === $("viewer")) $("viewer").close(); });
}
