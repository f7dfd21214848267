// Activations, in fp32. Independent of the GPU's maths library, so that CPU emulation and GPU differ only in exp2.
#pragma once
#include "cuda/kernels/primitives.h"

// Values of clipengine's Activation enumeration, as the host passes them.
enum ActivationCode { kNone = 0, kGelu = 1, kGeluTanh = 2, kQuickGelu = 3, kRelu = 4, kSilu = 5, kTanh = 6 };

// Polynomials fitted to erf in double precision (least squares reweighted to the minimax): x P(x^2) up to 1, then
// 1 - exp(-Q(x)) up to 4, where erf rounds to 1. Largest absolute error in fp32 over [-6, 6]: 1.4e-7.
CLIPENGINE_DEVICE float error_function(float x) {
  const float t = magnitude(x);
  if (t <= 1.0f) {
    const float s = x * x;
    float p = 7.8891193e-05f;
    p = multiply_add(p, s, -0.000802084105f);
    p = multiply_add(p, s, 0.00518953521f);
    p = multiply_add(p, s, -0.0268544443f);
    p = multiply_add(p, s, 0.112836003f);
    p = multiply_add(p, s, -0.37612626f);
    p = multiply_add(p, s, 1.12837911f);
    return p * x;
  }
  const float c = t < 4.0f ? t : 4.0f;
  float q = 2.16868502e-05f;
  q = multiply_add(q, c, -0.000441336364f);
  q = multiply_add(q, c, 0.00420456193f);
  q = multiply_add(q, c, -0.0252082571f);
  q = multiply_add(q, c, 0.108418576f);
  q = multiply_add(q, c, 0.633219898f);
  q = multiply_add(q, c, 1.12957847f);
  q = multiply_add(q, c, -0.000188040227f);
  const float y = 1.0f - exponential(-q);
  return x < 0.0f ? -y : y;
}

CLIPENGINE_DEVICE float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

// x P(x^2) / Q(x^2), fitted to tanh up to 9 in double precision; beyond, tanh is 1 to within 6e-8. Relative error in fp32: 3.5e-7.
CLIPENGINE_DEVICE float hyperbolic_tangent(float x) {
  const float t = x > 9.0f ? 9.0f : x < -9.0f ? -9.0f : x;  // NaN stays
  const float u = t * t;
  float p = 1.335465871221686e-08f;
  p = multiply_add(p, u, 2.060908082057722e-05f);
  p = multiply_add(p, u, 0.003495587967336178f);
  p = multiply_add(p, u, 0.13381025195121765f);
  p = multiply_add(p, u, 1.0f);
  float q = 7.776557708893961e-07f;
  q = multiply_add(q, u, 0.0003285634738858789f);
  q = multiply_add(q, u, 0.025876982137560844f);
  q = multiply_add(q, u, 0.4671434164047241f);
  q = multiply_add(q, u, 1.0f);
  const float y = t * p / q;
  return y > 1.0f ? 1.0f : y < -1.0f ? -1.0f : y;
}

CLIPENGINE_DEVICE float activate(float x, int activation) {
  if (activation == kGelu) return 0.5f * x * (1.0f + error_function(x * 0.70710678118654752f));
  if (activation == kQuickGelu) return x * sigmoid(1.702f * x);
  if (activation == kRelu) return x > 0.0f ? x : 0.0f;
  if (activation == kSilu) return x * sigmoid(x);
  if (activation == kTanh) return hyperbolic_tangent(x);
  // tanh(u) = 2 sigmoid(2u) - 1
  if (activation == kGeluTanh) return x * sigmoid(2.0f * 0.79788456080286536f * (x + 0.044715f * x * x * x));
  return x;
}
