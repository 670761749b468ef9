#version 300 es
layout(location = 0) in vec3 position;
uniform mat4 shadow_from_world;

void main() {
  gl_Position = shadow_from_world * vec4(position, 1.0);
}
