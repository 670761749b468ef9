// Presets, the key light, and the little spheres that show them.

const SH_LAMBERT = [1, 2 / 3, 2 / 3, 2 / 3, 0.25, 0.25, 0.25, 0.25, 0.25];

function shBasis([x, y, z]) {
  return [0.2820948, 0.4886025 * y, 0.4886025 * z, 0.4886025 * x, 1.0925484 * x * y, 1.0925484 * y * z,
    0.3153916 * (3 * z * z - 1), 1.0925484 * x * z, 0.5462742 * (x * x - y * y)];
}

const brightness = (c) => 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];

/** Splits a preset {sh, directions, radiance} into surroundings, key light and fill lights. */
function splitPreset(preset) {
  const beams = preset.directions.map((direction, i) => ({ direction, radiance: preset.radiance[i] }));
  beams.sort((a, b) => brightness(b.radiance) - brightness(a.radiance));
  const key = beams[0] && brightness(beams[0].radiance) > 0 ? beams[0] : null;
  return { sh: preset.sh, key, fills: beams.slice(key ? 1 : 0, 4) };
}

/** What the shader needs, from a split preset and the settings. */
function composeLight(preset, settings) {
  const { key, fills, sh } = preset;
  const color = key ? scale(key.radiance, 1 / Math.max(...key.radiance)) : [1, 0.96, 0.9];
  const directions = [directionFromAngles(settings.laz, settings.lel)];
  const radiance = [scale(color, settings.strength)];
  for (let i = 0; i < 3; i++) {
    directions.push(fills[i] ? rotateAboutY(fills[i].direction, settings.turn) : [0, 0, 1]);
    radiance.push(fills[i] ? fills[i].radiance : [0, 0, 0]);
  }
  return { sh: sh.flat(), turn: settings.turn * RADIANS, directions: directions.flat(), radiance: radiance.flat() };
}

/** Paints a white sphere under `light`, seen along the back axis of `frame`. */
function paintSphere(canvas, light, frame, albedo = 0.55) {
  const context = canvas.getContext("2d"), size = canvas.width;
  const image = context.createImageData(size, size);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const x = ((column + 0.5) / size) * 2 - 1, y = 1 - ((row + 0.5) / size) * 2, r = Math.hypot(x, y);
      if (r >= 1) continue;
      const z = Math.sqrt(1 - r * r);
      const n = add(add(scale(frame[0], x), scale(frame[1], y)), scale(frame[2], z));
      const weights = shBasis(rotateAboutY(n, -light.turn / RADIANS));
      for (let c = 0; c < 3; c++) {
        let value = 0;
        for (let k = 0; k < 9; k++) value += weights[k] * SH_LAMBERT[k] * light.sh[3 * k + c];
        value = Math.max(value, 0);
        for (let i = 0; i < 4; i++) value += Math.max(dot(n, light.directions.slice(3 * i, 3 * i + 3)), 0) * light.radiance[3 * i + c];
        value = Math.min(value * albedo, 1);
        image.data[4 * (row * size + column) + c] = 255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055);
      }
      image.data[4 * (row * size + column) + 3] = 255 * Math.min((1 - r) * size * 0.5, 1);
    }
  }
  context.putImageData(image, 0, 0);
}
