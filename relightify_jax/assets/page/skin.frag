#version 300 es
// The same shading as relightify_jax/rendering/shading.py: Lambert with a soft terminator,
// GGX with height-correlated Smith and Schlick, order-2 spherical harmonics around.
precision highp float;
precision highp sampler2DArrayShadow;

in vec3 v_position;
in vec3 v_normal;
in vec4 v_tangent;
in vec2 v_uv;
out vec4 color;

uniform sampler2D base_map;
uniform sampler2D normal_map;
uniform sampler2D specular_map;
uniform sampler2D occlusion_map;
uniform sampler2D picture;       // A map drawn as it is.
uniform sampler2D mask_map;      // What the photo shows of the face.
uniform sampler2DArrayShadow shadow_map;
uniform vec3 eye;
uniform vec3 sh[9];              // Radiance coefficients.
uniform float turn;              // Radians by which the surroundings are turned about +Y.
uniform mat4 shadow_from_world[4];
uniform float shadow_offset;     // Metres.
uniform vec3 light_direction[4];
uniform vec3 light_radiance[4];  // Irradiance / pi.
uniform vec3 scatter;
uniform float roughness;
uniform float specular_factor;
uniform float exposure;
uniform float shadow_strength;
uniform int has_normal_map;
uniform int view;
uniform int has_picture;
uniform int fade;                // 1: alpha is the mask.

const float PI = 3.14159265;
const int LIT = 0, DIFFUSE = 1, SPECULAR = 2, NORMALS = 3, DIFFUSE_LIGHT = 4, SHINE = 5, CLAY = 6, PICTURE = 7;

vec3 linear_from_srgb(vec3 c) {
  return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c));
}

vec3 srgb_from_linear(vec3 c) {
  c = clamp(c, 0.0, 1.0);
  return mix(c * 12.92, 1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
}

// Values up to 0.8 stay; what is brighter approaches 1 and keeps its hue.
vec3 soft_highlights(vec3 c) {
  float peak = max(c.r, max(c.g, c.b));
  if (peak <= 0.8) return c;
  float over = peak - 0.8;
  return c * ((0.8 + over / (1.0 + over / 0.2)) / peak);
}

// The harmonics at direction d; each band is scaled.
vec3 surrounding(vec3 d, vec3 bands) {
  float c = cos(turn), s = sin(turn);
  d = vec3(c * d.x - s * d.z, d.y, s * d.x + c * d.z);
  vec3 band1 = 0.4886025 * (sh[1] * d.y + sh[2] * d.z + sh[3] * d.x);
  vec3 band2 = 1.0925484 * (sh[4] * d.x * d.y + sh[5] * d.y * d.z + sh[7] * d.x * d.z)
    + 0.3153916 * sh[6] * (3.0 * d.z * d.z - 1.0) + 0.5462742 * sh[8] * (d.x * d.x - d.y * d.y);
  return max(bands.x * 0.2820948 * sh[0] + bands.y * band1 + bands.z * band2, 0.0);
}

float fresnel(float cosine, float f0) {
  return f0 + (1.0 - f0) * pow(1.0 - cosine, 5.0);
}

float specular_brdf(vec3 n, vec3 v, vec3 l, float rough, float f0) {
  float nl = dot(n, l), nv = dot(n, v);
  if (nl <= 0.0 || nv <= 0.0) return 0.0;
  vec3 h = normalize(v + l);
  float nh = dot(n, h), lh = clamp(dot(l, h), 0.0, 1.0);
  if (nh <= 0.0) return 0.0;
  float a = max(rough, 0.05), a2 = a * a * a * a;
  vec3 sine = cross(n, h);
  float spread = a2 * nh * nh + dot(sine, sine);
  float distribution = a2 / (PI * spread * spread);
  float shadowing = 0.5 / (nl * sqrt(nv * nv * (1.0 - a2) + a2) + nv * sqrt(nl * nl * (1.0 - a2) + a2));
  return distribution * shadowing * fresnel(lh, f0);
}

float lobe_albedo(float nv, float rough, float f0) {
  float a = min((1.0 - rough) * (1.0 - rough), exp2(-9.28 * nv)) * (1.0 - rough) + 0.0425 - 0.0275 * rough;
  return clamp(f0 * (1.04 - 0.572 * rough - 1.04 * a) + 1.04 * a - 0.04 + 0.022 * rough, 0.0, 1.0);
}

vec3 bounced_occlusion(float open, vec3 albedo) {
  vec3 a = 2.0404 * albedo - 0.3324, b = -4.7951 * albedo + 0.6417, c = 2.7552 * albedo + 0.6903;
  return max(vec3(open), ((open * a + b) * open + c) * open);
}

float specular_occlusion(float nv, float open, float rough) {
  return clamp(pow(max(nv + open, 1e-4), exp2(-16.0 * rough - 1.0)) - 1.0 + open, 0.0, 1.0);
}

// Share of light i that arrives, blurred over a few texels.
float visibility(int i, vec3 normal, float nl) {
  if (shadow_strength <= 0.0) return 1.0;
  // Pushed out along the normal, a smooth surface does not shadow itself.
  vec3 place = (shadow_from_world[i] * vec4(v_position + shadow_offset * normal, 1.0)).xyz * 0.5 + 0.5;
  float texel = 1.0 / float(textureSize(shadow_map, 0).x);
  float angle = fract(sin(dot(gl_FragCoord.xy, vec2(12.9898, 78.233))) * 43758.5453) * 2.0 * PI;
  float lit = 0.0;
  for (int k = 0; k < 10; k++) {
    float r = sqrt((float(k) + 0.5) / 10.0) * 4.0 * texel, t = angle + float(k) * 2.3999632;
    lit += texture(shadow_map, vec4(place.xy + r * vec2(cos(t), sin(t)), float(i), place.z));
  }
  // Past the terminator the cosine darkens already; light may still leak under the skin.
  float grazing = 1.0 - smoothstep(-0.05, 0.2, nl);
  return mix(1.0, max(lit / 10.0, grazing), shadow_strength);
}

void main() {
  vec3 geometric = normalize(v_normal), n = geometric, v = normalize(eye - v_position);
  if (has_normal_map == 1) {
    vec3 t = normalize(v_tangent.xyz - n * dot(n, v_tangent.xyz));
    vec3 m = texture(normal_map, v_uv).xyz * 2.0 - 1.0;
    n = normalize(m.x * t + m.y * cross(n, t) * sign(v_tangent.w) + m.z * n);
  }
  vec3 albedo = linear_from_srgb(texture(base_map, v_uv).rgb);
  float s = texture(specular_map, v_uv).a * specular_factor;
  float open = texture(occlusion_map, v_uv).r;
  if (view == CLAY || (view == PICTURE && has_picture == 0)) { albedo = vec3(0.5); s = 0.35; }

  float f0 = 0.08 * s, nv = clamp(dot(n, v), 0.0, 1.0);
  float reflectance = lobe_albedo(nv, roughness, f0);
  float blur = 2.0 * roughness * roughness, b = blur * blur;
  vec3 mirror = normalize(2.0 * dot(n, v) * n - v);
  vec3 diffuse = (1.0 - reflectance) * surrounding(n, vec3(1.0, 2.0 / 3.0, 0.25)) * bounced_occlusion(open, albedo);
  vec3 shine = reflectance * surrounding(mirror, vec3(1.0, exp(-b), exp(-3.0 * b))) * specular_occlusion(nv, open, roughness);
  for (int i = 0; i < 4; i++) {
    vec3 l = light_direction[i];
    if (dot(light_radiance[i], vec3(1.0)) <= 0.0) continue;
    float nl = dot(n, l), lh = clamp(dot(l, normalize(v + l)), 0.0, 1.0);
    vec3 arriving = light_radiance[i] * visibility(i, geometric, dot(geometric, l));
    vec3 past = max(nl + scatter, 0.0);
    vec3 softened = mix(past * past / (4.0 * max(scatter, 1e-6)), vec3(max(nl, 0.0)), step(scatter, vec3(nl)));
    diffuse += arriving * (1.0 - fresnel(lh, f0)) * softened / (1.0 + scatter * scatter / 3.0);
    shine += arriving * PI * specular_brdf(n, v, l, roughness, f0) * max(nl, 0.0);
  }

  vec3 radiance = albedo * diffuse + shine;
  if (view == DIFFUSE_LIGHT) radiance = 0.5 * diffuse;
  if (view == SHINE) radiance = 2.0 * shine;
  vec3 shown = srgb_from_linear(soft_highlights(radiance * exposure));
  if (view == DIFFUSE) shown = srgb_from_linear(albedo);
  if (view == SPECULAR) shown = vec3(s);
  if (view == NORMALS) shown = n * 0.5 + 0.5;
  if (view == PICTURE) shown = has_picture == 1 ? texture(picture, v_uv).rgb : 0.3 * shown;
  // The inside of the shell, seen through the neck, but not slivers of it along an outline.
  if (!gl_FrontFacing) shown *= 1.0 - 0.9 * smoothstep(0.05, 0.3, -dot(geometric, v));
  float alpha = fade == 1 ? smoothstep(0.1, 0.6, texture(mask_map, v_uv).r) : 1.0;
  color = vec4(shown * alpha, alpha);
}
