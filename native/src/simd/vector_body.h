// What is the same for every instruction set. Included by vector_<set>.h, last, and so inside an anonymous namespace.

// A 32-bit number a lane; the compiler's operators work on it.
typedef uint32_t Words __attribute__((vector_size(4 * kWidth)));
static inline Words words_of(Vector v) { return reinterpret_cast<Words>(v); }
static inline Vector floats_of(Words w) { return reinterpret_cast<Vector>(w); }
static inline Words load_words(const void* p) {
  Words w;
  __builtin_memcpy(&w, p, sizeof w);
  return w;
}
static inline void store_words(void* p, Words w) { __builtin_memcpy(p, &w, sizeof w); }

// output[c][r] = input[r][c] for kWidth rows and columns.
static inline void transpose_square(const float* input, int64_t input_stride, float* output, int64_t output_stride) {
  Vector r[kWidth];
#pragma GCC unroll 16
  for (int64_t i = 0; i < kWidth; ++i) r[i] = load(input + i * input_stride);
  transpose(r);
#pragma GCC unroll 16
  for (int64_t i = 0; i < kWidth; ++i) store(output + i * output_stride, r[i]);
}
