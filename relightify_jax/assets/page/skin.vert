#version 300 es
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec4 tangent;
layout(location = 3) in vec2 uv;
uniform mat4 clip_from_world;
out vec3 v_position;
out vec3 v_normal;
out vec4 v_tangent;
out vec2 v_uv;

void main() {
  v_position = position;
  v_normal = normal;
  v_tangent = tangent;
  v_uv = uv;
  gl_Position = clip_from_world * vec4(position, 1.0);
}
