// Four floats of the compiler's own vector type: runs on any processor. Included inside an anonymous namespace.
// Multiplications and additions are rounded separately here (the build forbids contraction), so every compiler gives the same bits.

typedef float Vector __attribute__((vector_size(16)));
typedef int32_t VectorInt __attribute__((vector_size(16)));
constexpr int64_t kWidth = 4;

static inline Vector load(const float* p) {
  Vector v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
static inline Vector load_first(const float* p, int64_t count) {
  Vector v = {0, 0, 0, 0};
  for (int64_t i = 0; i < count; ++i) v[i] = p[i];
  return v;
}
// kWidth / 2 floats, each twice.
static inline Vector load_twice(const float* p) { return Vector{p[0], p[0], p[1], p[1]}; }
static inline void store(float* p, Vector v) { __builtin_memcpy(p, &v, sizeof v); }
static inline void store_first(float* p, Vector v, int64_t count) {
  for (int64_t i = 0; i < count; ++i) p[i] = v[i];
}
static inline Vector spread(float x) { return Vector{x, x, x, x}; }
static inline Vector add(Vector a, Vector b) { return a + b; }
static inline Vector subtract(Vector a, Vector b) { return a - b; }
static inline Vector multiply(Vector a, Vector b) { return a * b; }
static inline Vector divide(Vector a, Vector b) { return a / b; }
static inline Vector reciprocal(Vector a) { return spread(1.0f) / a; }
static inline Vector multiply_add(Vector a, Vector b, Vector c) { return a * b + c; }
// Like maxps: the second operand where one is NaN.
static inline Vector maximum(Vector a, Vector b) { return a > b ? a : b; }
static inline Vector minimum(Vector a, Vector b) { return a < b ? a : b; }
static inline Vector absolute(Vector a) { return a < 0 ? -a : a; }
// For |a| < 2^22: adding and taking away 1.5 * 2^23 leaves the nearest integer, ties to even.
static inline Vector round_to_even(Vector a) {
  const Vector big = spread(12582912.0f);
  return (a + big) - big;
}
// n integral in [-254, 254]: two steps, so that results down to the smallest denormal come out right.
static inline Vector times_power_of_two(Vector a, Vector n) {
  const VectorInt whole = __builtin_convertvector(n, VectorInt), half = whole >> 1, rest = whole - half;
  const VectorInt one = (half + 127) << 23, two = (rest + 127) << 23;
  Vector f, g;
  __builtin_memcpy(&f, &one, sizeof f);
  __builtin_memcpy(&g, &two, sizeof g);
  return a * f * g;
}
static inline float sum_of(Vector a) { return (a[0] + a[2]) + (a[1] + a[3]); }
static inline float maximum_of(Vector a) {
  float m = a[0];
  for (int i = 1; i < 4; ++i) m = m > a[i] ? m : a[i];
  return m;
}

using Mask = VectorInt;
static inline Mask greater(Vector a, Vector b) { return a > b; }
static inline Vector select(Mask mask, Vector yes, Vector no) { return mask ? yes : no; }
static inline unsigned mask_bits(Mask mask) { return static_cast<unsigned>((mask[0] & 1) | (mask[1] & 2) | (mask[2] & 4) | (mask[3] & 8)); }

static inline Vector widen_bf16(const uint16_t* p) {
  VectorInt bits;
  for (int i = 0; i < 4; ++i) bits[i] = static_cast<int32_t>(static_cast<uint32_t>(p[i]) << 16);
  Vector v;
  __builtin_memcpy(&v, &bits, sizeof v);
  return v;
}
static inline Vector widen_fp16(const uint16_t* p) {
  Vector v;
  for (int i = 0; i < 4; ++i) v[i] = clipengine::half_to_float(p[i]);
  return v;
}

// Round to nearest even, kept as a float; NaN stays as it is.
static inline Vector round_to_bf16(Vector v) {
  for (int i = 0; i < 4; ++i) {
    const float x = v[i];
    uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    if (x == x) bits = (bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u;
    float y;
    __builtin_memcpy(&y, &bits, sizeof y);
    v[i] = y;
  }
  return v;
}

// The upper halves of the words, where values rounded to bf16 are.
static inline void store_upper_halves(uint16_t* p, Vector v) {
  for (int i = 0; i < 4; ++i) {
    const float x = v[i];
    uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    p[i] = static_cast<uint16_t>(bits >> 16);
  }
}

// Words of two values rounded to bf16, the first in the lower half.
static inline Vector pairs_of(Vector first, Vector second) {
  uint32_t a[4], b[4];
  __builtin_memcpy(a, &first, sizeof a);
  __builtin_memcpy(b, &second, sizeof b);
  for (int i = 0; i < 4; ++i) a[i] = a[i] >> 16 | (b[i] & 0xffff0000u);
  Vector v;
  __builtin_memcpy(&v, a, sizeof v);
  return v;
}

// 64 floats, scaled to [-127, 127] and rounded, to offset bytes (1 .. 255): a cache line.
static inline void store_offset_bytes(uint8_t* p, const float* floats, Vector scale) {
  for (int i = 0; i < 64; i += 4) {
    const Vector whole = round_to_even(load(floats + i) * scale);
    for (int j = 0; j < 4; ++j) p[i + j] = static_cast<uint8_t>(static_cast<int32_t>(whole[j]) + 128);
  }
}
static inline Vector load_int32_difference(const int32_t* p, const int32_t* q) {
  VectorInt a, b;
  __builtin_memcpy(&a, p, sizeof a);
  __builtin_memcpy(&b, q, sizeof b);
  return __builtin_convertvector(a - b, Vector);
}

// Rows become columns.
static inline void transpose(Vector (&r)[4]) {
  const Vector a = r[0], b = r[1], c = r[2], d = r[3];
  for (int i = 0; i < 4; ++i) r[i] = Vector{a[i], b[i], c[i], d[i]};
}

#include "simd/vector_body.h"
