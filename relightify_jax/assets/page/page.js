// The page: settings, controls, pointer and keyboard, and the frame loop.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const VIEWS = [
  ["lit", "Lit", "The inferred skin under the chosen light."],
  ["texture", "Texture", "The photo's colours on the face, completed by the prior. The photo's light is still in it."],
  ["texture_observed", "Observed", "Only what the photo shows; black was not seen."],
  ["confidence", "Confidence", "How well the photo shows each place: white fully, black not at all."],
  ["mask", "Mask", "White was taken from the photo, black was completed."],
  ["diffuse", "Diffuse", "Diffuse albedo: the skin without any light."],
  ["specular", "Specular", "Specular albedo S: reflectance at normal incidence is 0.08 S."],
  ["normals", "Normals", "Surface direction: red to the subject's left, green up, blue to the front."],
  ["diffuse_light", "Diffuse light", "Light that enters the skin, without its colour."],
  ["shine", "Shine", "Light reflected off the surface, twice as bright as in the picture."],
  ["clay", "Clay", "The shape in one grey material."],
];
const VIEW_CODES = { lit: 0, diffuse: 1, specular: 2, normals: 3, diffuse_light: 4, shine: 5, clay: 6 };
const PICTURE_VIEW = 7;
const DEFAULTS = {
  mode: "head", view: "lit", light: data.light, laz: 0, lel: 0, strength: 0, turn: 0, exposure: 0, az: 0, el: 2,
  zoom: 1, turntable: 0, shadows: 1, scatter: 1, whole: 0, split: 50, grip: "head", ui: 1, probe: "",
};
const SLIDERS = { strength: (v) => v.toFixed(2), azimuth: (v) => `${v}°`, elevation: (v) => `${v}°`, turn: (v) => `${v}°`, exposure: (v) => `${v > 0 ? "+" : ""}${v.toFixed(2)}` };
const SETTING_OF_SLIDER = { azimuth: "laz", elevation: "lel" };
const HALF_ANGLE = 0.2; // Tangent of half the vertical field of view.

const settings = { ...DEFAULTS };
const presets = {};
let scene = null, dirty = true, ready = false, frames = 0, saveTimer = 0;

function report(status) {
  $("status").textContent = JSON.stringify(status);
}

function fail(error) {
  const hasPicture = ["render", "photo"].some((name) => picture(name));
  document.body.classList.add("still");
  $("canvas").hidden = true;
  $("message").textContent = `${error.message} ${hasPicture ? "A still picture is shown instead." : ""}`;
  showStill();
  report({ ok: false, error: error.message });
}

/** Without WebGL2: photo and static re-render under the divider, or whichever there is. */
function showStill() {
  const photo = picture("photo"), render = picture("render");
  if (photo) Object.assign($("backdrop"), { src: photo, hidden: false });
  if (render) Object.assign($("static-render"), { src: render, hidden: false });
  $("split").hidden = !(photo && render);
  for (const id of ["modes", "grips", "hint", "panel"]) $(id).hidden = true;
  updateSplit();
}

function picture(name) {
  const image = document.querySelector(`img[data-picture="${name}"]`);
  return image && image.src;
}

// ---- settings ------------------------------------------------------------------------

function choosePreset(name) {
  settings.light = presets[name] ? name : data.light;
  const { key } = presets[settings.light];
  settings.strength = key ? Math.max(...key.radiance) : 0;
  const [azimuth, elevation] = key ? anglesFromDirection(key.direction) : [40, 30];
  Object.assign(settings, { laz: Math.round(azimuth), lel: Math.round(elevation), turn: 0 });
}

function readHash() {
  const query = new URLSearchParams(location.hash.slice(1));
  Object.assign(settings, DEFAULTS);
  choosePreset(query.get("light") || data.light);
  for (const [name, initial] of Object.entries(DEFAULTS)) {
    if (!query.has(name) || name === "light") continue;
    const text = query.get(name), number = Number(text);
    if (typeof initial !== "number") settings[name] = text;
    else if (Number.isFinite(number)) settings[name] = number;
  }
  if (!VIEWS.some(([name]) => name === settings.view && hasView(name))) settings.view = "lit";
  if (settings.mode !== "photo" || !data.camera || !picture("photo")) settings.mode = "head";
  settings.zoom = clamp(settings.zoom, 0.25, 3);
  settings.el = clamp(settings.el, -85, 85);
}

function saveHash() {
  clearTimeout(saveTimer);
  saveTimer = setTimeout(() => {
    const query = new URLSearchParams();
    for (const [name, initial] of Object.entries(DEFAULTS)) {
      const value = typeof initial === "number" ? Math.round(settings[name] * 100) / 100 : settings[name];
      if (value !== initial) query.set(name, value);
    }
    try { history.replaceState(null, "", `#${query}`); } catch { /* Some browsers refuse on files. */ }
  }, 400);
}

function hasView(name) {
  return name in VIEW_CODES || Boolean(picture(name));
}

function change(values) {
  Object.assign(settings, values);
  syncControls();
  saveHash();
  dirty = true;
}

// ---- controls ------------------------------------------------------------------------

function radio(parent, name, value, label, before) {
  const element = document.createElement("label"), input = document.createElement("input"), text = document.createElement("span");
  Object.assign(input, { type: "radio", name, value });
  if (before) text.append(before);
  text.append(label);
  element.append(input, text);
  parent.append(element);
}

function buildControls() {
  for (const [name, preset] of Object.entries(data.lights)) {
    presets[name] = splitPreset(preset);
    const ball = document.createElement("canvas"), { key } = presets[name];
    ball.width = ball.height = 56;
    const [laz, lel] = key ? anglesFromDirection(key.direction) : [0, 0];
    const strength = key ? Math.max(...key.radiance) : 0;
    paintSphere(ball, composeLight(presets[name], { laz, lel, strength, turn: 0 }), [[1, 0, 0], [0, 1, 0], [0, 0, 1]]);
    radio($("lights"), "light", name, preset.label, ball);
  }
  for (const [name, label] of VIEWS) if (hasView(name)) radio($("views"), "view", name, label);
  $("modes").hidden = !(data.camera && picture("photo"));
  $("whole-head").hidden = $("modes").hidden;

  $("lights").addEventListener("change", (e) => { choosePreset(e.target.value); change({}); });
  for (const [id, name] of [["views", "view"], ["modes", "mode"], ["grips", "grip"]]) {
    $(id).addEventListener("change", (e) => change({ [name]: e.target.value }));
  }
  for (const id of Object.keys(SLIDERS)) {
    $(id).addEventListener("input", (e) => change({ [SETTING_OF_SLIDER[id] || id]: Number(e.target.value) }));
  }
  for (const id of ["turntable", "shadows", "scatter", "whole"]) {
    $(id).addEventListener("change", (e) => change({ [id]: e.target.checked ? 1 : 0 }));
  }
  $("split-range").addEventListener("input", (e) => change({ split: Number(e.target.value) }));
  $("reset").addEventListener("click", () => {
    const { mode, ui } = settings;
    Object.assign(settings, DEFAULTS, { mode, ui });
    choosePreset(data.light);
    change({});
  });
}

function syncControls() {
  for (const name of ["light", "view", "mode", "grip"]) {
    const input = document.querySelector(`input[name="${name}"][value="${CSS.escape(settings[name])}"]`);
    if (input) input.checked = true;
  }
  for (const [id, format] of Object.entries(SLIDERS)) {
    const value = settings[SETTING_OF_SLIDER[id] || id];
    $(id).value = value;
    document.querySelector(`output[for="${id}"]`).textContent = format(value);
  }
  for (const id of ["turntable", "shadows", "scatter", "whole"]) $(id).checked = Boolean(settings[id]);
  $("view-note").textContent = VIEWS.find(([name]) => name === settings.view)[2];
  const inPhoto = settings.mode === "photo";
  $("backdrop").hidden = !inPhoto;
  if (inPhoto && !$("backdrop").src) $("backdrop").src = picture("photo");
  $("split").hidden = !inPhoto;
  $("hint").hidden = $("grips").hidden = inPhoto;
  document.body.classList.toggle("bare", !settings.ui);
  $("canvas").classList.toggle("in-photo", inPhoto);
  updateSplit();
}

function updateSplit() {
  const shown = settings.mode === "photo" || $("canvas").hidden;
  const [left, , width] = photoRectangle($("stage").clientWidth, $("stage").clientHeight);
  const thumb = 36; // Wide; its middle runs from half of it to the width less half.
  const x = left + thumb / 2 + (settings.split / 100) * (width - thumb);
  const range = $("split-range");
  range.value = settings.split;
  Object.assign(range.style, { left: `${left}px`, width: `${width}px` });
  $("split-line").style.left = `${x}px`;
  $("tag-photo").style.left = `${left + 14}px`;
  $("tag-relit").style.right = `${left + 14}px`;
  for (const id of ["canvas", "static-render"]) $(id).style.clipPath = shown ? `inset(0 0 0 ${x}px)` : "none";
}

/** Where the photo lies in a box of this size: [x, y from the bottom, width, height]. */
function photoRectangle(width, height) {
  if (!data.camera) return [0, 0, width, height];
  const factor = Math.min(width / data.camera.width, height / data.camera.height);
  const w = data.camera.width * factor, h = data.camera.height * factor;
  return [(width - w) / 2, (height - h) / 2, w, h];
}

// ---- frames --------------------------------------------------------------------------

function orbitCamera(width, height) {
  const aspect = width / height;
  const half = Math.max(scene.height * 0.53, (scene.radius * 0.72) / aspect) * settings.zoom;
  const distance = half / HALF_ANGLE + scene.radius * 0.4;
  const eye = add(scene.center, scale(directionFromAngles(settings.az, settings.el), distance));
  const frame = lookFrame(eye, scene.center);
  const near = Math.max(distance - 1.2 * scene.radius, 0.02 * scene.radius);
  const clip = multiply(perspective(HALF_ANGLE, aspect, near, distance + 1.2 * scene.radius), viewMatrix(frame, eye));
  return { clip, eye, frame, viewport: [0, 0, width, height] };
}

function photoCamera(width, height) {
  const { rotation, translation } = data.camera; // Camera from model; rotation row by row.
  const frame = [rotation.slice(0, 3), rotation.slice(3, 6), rotation.slice(6, 9)];
  const eye = [0, 1, 2].map((i) => -frame.reduce((sum, axis, k) => sum + axis[i] * translation[k], 0));
  const distance = Math.hypot(...subtract(scene.center, eye));
  const near = Math.max(distance - 1.2 * scene.radius, 0.02 * scene.radius);
  const clip = multiply(photoProjection(data.camera, near, distance + 1.2 * scene.radius), viewMatrix(frame, eye));
  return { clip, eye, frame, viewport: photoRectangle(width, height).map(Math.round) };
}

function currentCamera() {
  const { width, height } = $("canvas");
  return settings.mode === "photo" ? photoCamera(width, height) : orbitCamera(width, height);
}

function draw() {
  const canvas = $("canvas"), ratio = Math.min(window.devicePixelRatio || 1, 2);
  const width = Math.max(Math.round(canvas.clientWidth * ratio), 1), height = Math.max(Math.round(canvas.clientHeight * ratio), 1);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const camera = currentCamera(), light = composeLight(presets[settings.light], settings);
  const faceOnly = settings.mode === "photo" && !settings.whole;
  scene.draw({
    ...camera, light, faceOnly, exposure: 2 ** settings.exposure, picture: settings.view,
    view: VIEW_CODES[settings.view] ?? PICTURE_VIEW, shadows: settings.shadows, scatter: settings.scatter,
  });
  drawBall(light, camera.frame);
  updateSplit();
  frames += 1;
  const error = scene.gl.getError();
  const places = String(settings.probe).split(",").map(Number);
  report({
    ok: ready && error === 0, error: error || null, frames, size: [width, height], split: settings.split,
    vertices: scene.parts.reduce((sum, part) => sum + part.positions.length / 3, 0),
    triangles: scene.parts.reduce((sum, part) => sum + part.count / 3, 0),
    parts: scene.parts.map((part) => part.name), settings,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    views: VIEWS.map(([name]) => name).filter(hasView), lights: Object.keys(data.lights),
    probe: places.length > 1 ? scene.probe(Array.from({ length: places.length >> 1 }, (_, i) => places.slice(2 * i, 2 * i + 2))) : [],
  });
}

/** The light ball: the surroundings on a sphere and the key light as a handle. */
function drawBall(light, frame) {
  const ball = $("ball"), size = ball.width, context = ball.getContext("2d");
  const small = drawBall.small || (drawBall.small = Object.assign(document.createElement("canvas"), { width: 56, height: 56 }));
  paintSphere(small, light, frame, 0.5);
  context.clearRect(0, 0, size, size);
  context.drawImage(small, size * 0.08, size * 0.08, size * 0.84, size * 0.84);
  const direction = directionFromAngles(settings.laz, settings.lel);
  const behind = dot(direction, frame[2]) < 0, reach = size * 0.42;
  const x = size / 2 + dot(direction, frame[0]) * reach, y = size / 2 - dot(direction, frame[1]) * reach;
  context.beginPath();
  context.arc(x, y, size * 0.055, 0, 2 * Math.PI);
  context.lineWidth = size * 0.022;
  context.strokeStyle = "#111";
  context.stroke();
  context.fillStyle = behind ? "#3a3a3a" : "#ffdfa8";
  context.fill();
  context.lineWidth = size * 0.012;
  context.strokeStyle = "#ffdfa8";
  context.stroke();
}

function loop(previous, now) {
  if (settings.turntable && previous) {
    settings.az = wrapDegrees(settings.az + Math.min(now - previous, 100) * 0.03);
    dirty = true;
  }
  if (dirty) { dirty = false; draw(); }
  requestAnimationFrame((next) => loop(now, next));
}

async function start() {
  $("download").disabled = false;
  const bytes = bytesFromBase64($("glb").textContent);
  $("download-size").textContent = `${(bytes.length / 1e6).toFixed(1)} MB`;
  $("download").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: "model/gltf-binary" }));
    link.download = data.filename;
    link.click();
  });
  const { parts } = readGlb(bytes);
  fillGallery(parts);
  listenGallery();
  buildControls();
  readHash();
  syncControls();
  scene = new Scene($("canvas"), parts);
  const pictures = {};
  for (const [name] of VIEWS) if (!(name in VIEW_CODES) && picture(name)) pictures[name] = picture(name);
  await scene.loadTextures(pictures);
  listenStage();
  new ResizeObserver(() => { dirty = true; }).observe($("canvas"));
  window.addEventListener("hashchange", () => { readHash(); syncControls(); dirty = true; });
  $("canvas").addEventListener("webglcontextlost", (e) => { e.preventDefault(); fail(new Error("The graphics device was lost; reload the page.")); });
  ready = true;
  $("message").textContent = "";
  draw();
  loop(0, 0);
}

start().catch(fail);
