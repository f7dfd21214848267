// What a GPU does at best, whatever the program: multiply-adds in registers, and copying memory. A multiplication returns how
// much it has done: each sum grows by one a multiply-add, so that the sums together are their number, exact below 2^24 each.
#include "cuda/kernels/primitives.h"

constexpr int kCeilingThreads = 256;
constexpr int kCeilingTiles = 8;   // of a warp: products that do not wait for each other
constexpr int kCeilingSums = 16;   // of a thread, likewise

CLIPENGINE_DEVICE uint32_t repeated(float value, bf16) { return pack_pair<bf16>(value, value); }
CLIPENGINE_DEVICE uint32_t repeated(float value, fp16) { return pack_pair<fp16>(value, value); }
CLIPENGINE_DEVICE uint32_t repeated(float value, tf32) { return float_to_bits(value); }

// done [blocks, threads]: multiply-adds; one is 1, which the compiler must not know.
template <typename T>
CLIPENGINE_DEVICE void ceiling_tiles(float one, int rounds, int64_t* done) {
  const uint32_t word = repeated(one, T());
  const uint32_t a[4] = {word, word, word, word}, b[2] = {word, word};
  float sums[kCeilingTiles][4];
  CLIPENGINE_UNROLL
  for (int tile = 0; tile < kCeilingTiles; ++tile)
    CLIPENGINE_UNROLL
    for (int e = 0; e < 4; ++e) sums[tile][e] = 0.0f;
  for (int round = 0; round < rounds; ++round) {
    CLIPENGINE_UNROLL
    for (int tile = 0; tile < kCeilingTiles; ++tile) multiply_tile(sums[tile], a, b, T());
  }
  int64_t total = 0;
  CLIPENGINE_UNROLL
  for (int tile = 0; tile < kCeilingTiles; ++tile)
    CLIPENGINE_UNROLL
    for (int e = 0; e < 4; ++e) total += (int64_t)sums[tile][e];
  done[(int64_t)block_index_x() * kCeilingThreads + thread_index()] = total;
}

#define CLIPENGINE_CEILING(type) \
  CLIPENGINE_KERNEL __launch_bounds__(kCeilingThreads) ceiling_##type(float one, int rounds, int64_t* done) { ceiling_tiles<type>(one, rounds, done); }
CLIPENGINE_CEILING(bf16)
CLIPENGINE_CEILING(fp16)
CLIPENGINE_CEILING(tf32)
#undef CLIPENGINE_CEILING

// The same with the fused multiply-adds of single threads. The sums begin apart: of equal ones the compiler would keep one.
CLIPENGINE_KERNEL __launch_bounds__(kCeilingThreads) ceiling_fp32(float one, int rounds, int64_t* done) {
  float sums[kCeilingSums];
  CLIPENGINE_UNROLL
  for (int i = 0; i < kCeilingSums; ++i) sums[i] = (float)i;
  for (int round = 0; round < rounds; ++round) {
    CLIPENGINE_UNROLL
    for (int i = 0; i < kCeilingSums; ++i) sums[i] = multiply_add(one, one, sums[i]);
  }
  int64_t total = 0;
  CLIPENGINE_UNROLL
  for (int i = 0; i < kCeilingSums; ++i) total += (int64_t)sums[i] - i;
  done[(int64_t)block_index_x() * kCeilingThreads + thread_index()] = total;
}

struct alignas(16) CeilingPiece {
  uint32_t words[4];
};

// destination = source, in pieces of 16 bytes; four of a thread on their way at once.
CLIPENGINE_KERNEL __launch_bounds__(kCeilingThreads) ceiling_copy(const CeilingPiece* source, CeilingPiece* destination, int64_t pieces) {
  const int64_t step = (int64_t)grid_size_x() * kCeilingThreads;
  int64_t piece = (int64_t)block_index_x() * kCeilingThreads + thread_index();
  for (; piece + 3 * step < pieces; piece += 4 * step) {
    CeilingPiece found[4];
    CLIPENGINE_UNROLL
    for (int i = 0; i < 4; ++i) load_16(found[i].words, source + piece + i * step);
    CLIPENGINE_UNROLL
    for (int i = 0; i < 4; ++i) destination[piece + i * step] = found[i];
  }
  for (; piece < pieces; piece += step) {
    CeilingPiece found;
    load_16(found.words, source + piece);
    destination[piece] = found;
  }
}
