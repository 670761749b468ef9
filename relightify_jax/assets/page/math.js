// Small vectors as arrays, angles in degrees, matrices column-major as WebGL wants them.

const RADIANS = Math.PI / 180;
const add = (a, b) => a.map((v, i) => v + b[i]);
const subtract = (a, b) => a.map((v, i) => v - b[i]);
const scale = (a, s) => a.map((v) => v * s);
const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const normalize = (a) => scale(a, 1 / Math.max(Math.hypot(...a), 1e-12));
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const wrapDegrees = (x) => ((((x + 180) % 360) + 360) % 360) - 180;

/** Unit vector: azimuth 0 is +Z (in front of the face), 90 is +X; elevation 90 is up. */
function directionFromAngles(azimuth, elevation) {
  const a = azimuth * RADIANS, e = elevation * RADIANS;
  return [Math.sin(a) * Math.cos(e), Math.sin(e), Math.cos(a) * Math.cos(e)];
}

function anglesFromDirection(d) {
  return [Math.atan2(d[0], d[2]) / RADIANS, Math.asin(clamp(d[1], -1, 1)) / RADIANS];
}

/** Rotates about +Y; positive turns +Z towards +X. */
function rotateAboutY(d, degrees) {
  const c = Math.cos(degrees * RADIANS), s = Math.sin(degrees * RADIANS);
  return [c * d[0] + s * d[2], d[1], -s * d[0] + c * d[2]];
}

/** Column-major 4x4 from four rows. */
function matrixFromRows(rows) {
  const m = new Float32Array(16);
  rows.forEach((row, i) => row.forEach((v, j) => { m[j * 4 + i] = v; }));
  return m;
}

function multiply(a, b) {
  const m = new Float32Array(16);
  for (let j = 0; j < 4; j++)
    for (let i = 0; i < 4; i++)
      for (let k = 0; k < 4; k++) m[j * 4 + i] += a[k * 4 + i] * b[j * 4 + k];
  return m;
}

/** Rows right, up, back (three unit vectors) of a camera that looks from `eye` to `target`. */
function lookFrame(eye, target) {
  const back = normalize(subtract(eye, target));
  const helper = Math.abs(back[1]) > 0.999 ? [0, 0, -Math.sign(back[1])] : [0, 1, 0];
  const right = normalize(cross(helper, back));
  return [right, cross(back, right), back];
}

/** World to camera matrix. */
function viewMatrix(frame, eye) {
  return matrixFromRows([...frame.map((axis) => [...axis, -dot(axis, eye)]), [0, 0, 0, 1]]);
}

/** Perspective with a vertical half angle of tangent `tangent`. */
function perspective(tangent, aspect, near, far) {
  return matrixFromRows([
    [1 / (tangent * aspect), 0, 0, 0],
    [0, 1 / tangent, 0, 0],
    [0, 0, (far + near) / (near - far), (2 * far * near) / (near - far)],
    [0, 0, -1, 0],
  ]);
}

/** Projection of a photo's camera: focal length and centre in pixels, row 0 at the top. */
function photoProjection({ focal, center, width, height }, near, far) {
  return matrixFromRows([
    [(2 * focal) / width, 0, 1 - (2 * center[0]) / width, 0],
    [0, (2 * focal) / height, (2 * center[1]) / height - 1, 0],
    [0, 0, (far + near) / (near - far), (2 * far * near) / (near - far)],
    [0, 0, -1, 0],
  ]);
}
