// Draws the head with WebGL2: a shadow map per light, then the skin.

const TEXTURE_UNITS = { base_map: 0, normal_map: 1, specular_map: 2, occlusion_map: 3, picture: 4, mask_map: 5, shadow_map: 6 };
const SHADOW_SIZE = 1024;
const NUM_LIGHTS = 4; // As skin.frag.
const SKIN_SCATTER = [0.3, 0.12, 0.06]; // As rendering/shading.py.

class Scene {
  constructor(canvas, parts) {
    const gl = canvas.getContext("webgl2", { antialias: true, alpha: true, premultipliedAlpha: true });
    if (!gl) throw new Error("WebGL2 is not available in this browser.");
    this.gl = gl;
    this.canvas = canvas;
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    this.skin = this.program(SHADERS["skin.vert"], SHADERS["skin.frag"]);
    this.shadow = this.program(SHADERS["shadow.vert"], SHADERS["shadow.frag"]);
    gl.useProgram(this.skin.program);
    for (const [name, unit] of Object.entries(TEXTURE_UNITS)) gl.uniform1i(this.skin.at(name), unit);
    this.makeShadowMap();
    this.setBounds(parts);
    this.parts = parts.map((part) => this.upload(part));
    this.pictures = {};
  }

  program(vertexSource, fragmentSource) {
    const gl = this.gl, program = gl.createProgram();
    for (const [type, source] of [[gl.VERTEX_SHADER, vertexSource], [gl.FRAGMENT_SHADER, fragmentSource]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, source.trim());
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    const locations = new Map();
    const at = (name) => {
      if (!locations.has(name)) locations.set(name, gl.getUniformLocation(program, name));
      return locations.get(name);
    };
    return { program, at };
  }

  /** One layer of depth per light. */
  makeShadowMap() {
    const gl = this.gl, kind = gl.TEXTURE_2D_ARRAY;
    this.shadowTexture = gl.createTexture();
    gl.bindTexture(kind, this.shadowTexture);
    gl.texStorage3D(kind, 1, gl.DEPTH_COMPONENT24, SHADOW_SIZE, SHADOW_SIZE, NUM_LIGHTS);
    gl.texParameteri(kind, gl.TEXTURE_COMPARE_MODE, gl.COMPARE_REF_TO_TEXTURE);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(kind, name, gl.LINEAR);
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(kind, name, gl.CLAMP_TO_EDGE);
    this.shadowTarget = gl.createFramebuffer();
  }

  setBounds(parts) {
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    for (const { positions } of parts) {
      for (let i = 0; i < positions.length; i++) {
        low[i % 3] = Math.min(low[i % 3], positions[i]);
        high[i % 3] = Math.max(high[i % 3], positions[i]);
      }
    }
    this.center = scale(add(low, high), 0.5);
    this.radius = Math.hypot(...subtract(high, low)) / 2;
    this.height = high[1] - low[1];
  }

  upload(part) {
    const gl = this.gl, array = gl.createVertexArray();
    gl.bindVertexArray(array);
    [[part.positions, 3], [part.normals, 3], [part.tangents, 4], [part.uv, 2]].forEach(([data, size], location) => {
      if (!data) { gl.vertexAttrib4f(location, 1, 0, 0, 1); return; }
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, size, gl.FLOAT, false, 0, 0);
    });
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, new Uint32Array(part.indices), gl.STATIC_DRAW);
    gl.bindVertexArray(null);
    return { ...part, array, count: part.indices.length, textures: {} };
  }

  /** A texture from an image, or one texel of `fallback` (RGBA bytes). */
  texture(image, fallback) {
    const gl = this.gl, texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    if (image) {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, image);
      gl.generateMipmap(gl.TEXTURE_2D);
      const anisotropy = gl.getExtension("EXT_texture_filter_anisotropic");
      if (anisotropy) gl.texParameterf(gl.TEXTURE_2D, anisotropy.TEXTURE_MAX_ANISOTROPY_EXT, 4);
    } else {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(fallback));
    }
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, image ? gl.LINEAR_MIPMAP_LINEAR : gl.NEAREST);
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, name, gl.CLAMP_TO_EDGE);
    return texture;
  }

  /** Decodes all textures; `pictures` maps names to image URLs in the UV layout of the face. */
  async loadTextures(pictures) {
    const cache = new Map(); // Parts share images, e.g. both eyes.
    const get = async (url, fallback) => {
      if (!url) return this.texture(null, fallback);
      if (!cache.has(url)) cache.set(url, this.texture(await loadImage(url)));
      return cache.get(url);
    };
    for (const { images, textures } of this.parts) {
      textures.base_map = await get(images.base, [180, 180, 180, 255]);
      textures.normal_map = await get(images.normal, [128, 128, 255, 255]);
      textures.specular_map = await get(images.specular, [255, 255, 255, 255]);
      textures.occlusion_map = await get(images.occlusion, [255, 255, 255, 255]);
    }
    for (const [name, url] of Object.entries(pictures)) this.pictures[name] = await get(url);
    this.white = this.texture(null, [255, 255, 255, 255]);
  }

  /** Draws the depth seen from every light that shines; returns its matrices. */
  drawShadows({ directions, radiance }) {
    const gl = this.gl, r = this.radius * 1.02;
    const box = matrixFromRows([[1 / r, 0, 0, 0], [0, 1 / r, 0, 0], [0, 0, -1 / r, 0], [0, 0, 0, 1]]);
    const matrices = new Float32Array(16 * NUM_LIGHTS);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.shadowTarget);
    gl.viewport(0, 0, SHADOW_SIZE, SHADOW_SIZE);
    gl.useProgram(this.shadow.program);
    gl.disable(gl.CULL_FACE);
    gl.enable(gl.POLYGON_OFFSET_FILL);
    gl.polygonOffset(1.5, 2);
    for (let i = 0; i < NUM_LIGHTS; i++) {
      if (!radiance.slice(3 * i, 3 * i + 3).some((v) => v > 0)) continue;
      const frame = lookFrame(directions.slice(3 * i, 3 * i + 3), [0, 0, 0]);
      const matrix = multiply(box, viewMatrix(frame, this.center));
      matrices.set(matrix, 16 * i);
      gl.framebufferTextureLayer(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, this.shadowTexture, 0, i);
      gl.clear(gl.DEPTH_BUFFER_BIT);
      gl.uniformMatrix4fv(this.shadow.at("shadow_from_world"), false, matrix);
      for (const part of this.parts) {
        gl.bindVertexArray(part.array);
        gl.drawElements(gl.TRIANGLES, part.count, gl.UNSIGNED_INT, 0);
      }
    }
    gl.disable(gl.POLYGON_OFFSET_FILL);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    return matrices;
  }

  /**
   * Draws one frame.
   * `frame`: {clip, eye, viewport, light: {sh, turn, directions, radiance}, exposure, view,
   * picture, shadows, scatter, faceOnly}.
   */
  draw(frame) {
    const gl = this.gl, { light } = frame;
    gl.enable(gl.DEPTH_TEST);
    const matrices = frame.shadows ? this.drawShadows(light) : new Float32Array(16 * NUM_LIGHTS);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.viewport(...frame.viewport);
    gl.useProgram(this.skin.program);
    const at = this.skin.at;
    gl.uniformMatrix4fv(at("clip_from_world"), false, frame.clip);
    gl.uniformMatrix4fv(at("shadow_from_world"), false, matrices);
    gl.uniform1f(at("shadow_offset"), (3 * this.radius) / SHADOW_SIZE);
    gl.uniform1f(at("shadow_strength"), frame.shadows ? 1 : 0);
    gl.uniform3fv(at("eye"), frame.eye);
    gl.uniform3fv(at("sh"), light.sh);
    gl.uniform1f(at("turn"), light.turn);
    gl.uniform3fv(at("light_direction"), light.directions);
    gl.uniform3fv(at("light_radiance"), light.radiance);
    gl.uniform1f(at("exposure"), frame.exposure);
    gl.uniform1i(at("view"), frame.view);
    const bind = (name, texture, kind = gl.TEXTURE_2D) => {
      gl.activeTexture(gl.TEXTURE0 + TEXTURE_UNITS[name]);
      gl.bindTexture(kind, texture);
    };
    bind("shadow_map", this.shadowTexture, gl.TEXTURE_2D_ARRAY);
    if (frame.faceOnly) gl.enable(gl.CULL_FACE); else gl.disable(gl.CULL_FACE);
    for (const part of this.parts) {
      const isFace = part.name === "skin_face";
      if (frame.faceOnly && !isFace) continue;
      const isSkin = part.name.startsWith("skin");
      for (const [name, texture] of Object.entries(part.textures)) bind(name, texture);
      const picture = isFace && this.pictures[frame.picture];
      bind("picture", picture || this.white);
      gl.uniform1i(at("has_picture"), picture ? 1 : 0);
      bind("mask_map", this.pictures.confidence || this.pictures.mask || this.white);
      gl.uniform1i(at("fade"), frame.faceOnly ? 1 : 0);
      gl.uniform1i(at("has_normal_map"), part.images.normal && part.tangents ? 1 : 0);
      gl.uniform1f(at("roughness"), part.roughness);
      gl.uniform1f(at("specular_factor"), part.specularFactor);
      gl.uniform3fv(at("scatter"), frame.scatter && isSkin ? SKIN_SCATTER : [0, 0, 0]);
      gl.bindVertexArray(part.array);
      gl.drawElements(gl.TRIANGLES, part.count, gl.UNSIGNED_INT, 0);
    }
    gl.bindVertexArray(null);
  }

  /** Colours [r, g, b, a] at places [x, y] given in shares of the canvas, y down. */
  probe(places) {
    const gl = this.gl, pixel = new Uint8Array(4);
    return places.map(([x, y]) => {
      const column = clamp(Math.floor(x * this.canvas.width), 0, this.canvas.width - 1);
      const row = clamp(Math.floor((1 - y) * this.canvas.height), 0, this.canvas.height - 1);
      gl.readPixels(column, row, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
      return [...pixel];
    });
  }
}
