// A reader for the GLB in this page: one mesh, several primitives, embedded PNG images.

const COMPONENTS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4 };
const ARRAY_TYPES = { 5121: Uint8Array, 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array };

function bytesFromBase64(text) {
  const binary = atob(text.trim());
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** Returns the primitives with typed arrays, and the JSON, of a GLB. */
function readGlb(bytes) {
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (header.getUint32(0, true) !== 0x46546c67) throw new Error("The embedded head is not a GLB file.");
  const jsonLength = header.getUint32(12, true);
  const json = JSON.parse(new TextDecoder().decode(bytes.subarray(20, 20 + jsonLength)));
  const start = 28 + jsonLength;

  const view = (index) => {
    const { byteOffset = 0, byteLength } = json.bufferViews[index];
    return bytes.subarray(start + byteOffset, start + byteOffset + byteLength);
  };
  const accessor = (index) => {
    if (index === undefined) return null;
    const { bufferView, byteOffset = 0, componentType, count, type } = json.accessors[index];
    const copy = view(bufferView).slice(byteOffset); // Aligned, whatever the offset in the file.
    return new ARRAY_TYPES[componentType](copy.buffer, 0, count * COMPONENTS[type]);
  };
  const urls = new Map();
  const imageUrl = (info) => {
    if (!info) return null;
    const { bufferView, mimeType } = json.images[json.textures[info.index].source];
    if (!urls.has(bufferView)) {
      urls.set(bufferView, URL.createObjectURL(new Blob([view(bufferView)], { type: mimeType })));
    }
    return urls.get(bufferView);
  };

  const parts = json.meshes[0].primitives.map((primitive) => {
    const material = json.materials[primitive.material];
    const specular = (material.extensions || {}).KHR_materials_specular || {};
    const base = material.pbrMetallicRoughness;
    return {
      name: material.name,
      positions: accessor(primitive.attributes.POSITION),
      normals: accessor(primitive.attributes.NORMAL),
      tangents: accessor(primitive.attributes.TANGENT),
      uv: accessor(primitive.attributes.TEXCOORD_0),
      indices: accessor(primitive.indices),
      roughness: base.roughnessFactor ?? 1,
      specularFactor: specular.specularFactor ?? 1,
      images: {
        base: imageUrl(base.baseColorTexture),
        normal: imageUrl(material.normalTexture),
        specular: imageUrl(specular.specularTexture),
        occlusion: imageUrl(material.occlusionTexture),
      },
    };
  });
  return { json, parts };
}

// An <img> and not createImageBitmap: a headless browser's virtual clock waits for it.
function loadImage(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("A picture in this page cannot be decoded."));
    image.src = url;
  });
}
