// y[rows, columns] = scale * activation(x w^T + bias) + residual, w stored [columns, depth].
//
// 16-bit elements: tiles of 128 x 128, 32 deep, three stages of asynchronous copies, eight warps of 64 x 32 each on tensor
// cores (mma.sync m16n8k16) with fp32 accumulation. fp32: tiles of 64 x 64, 16 deep, plain fused multiply-adds.
// The order of summation over the depth depends on neither rows nor grid: a row's result does not depend on its batch.
#include "cuda/kernels/product_epilogue.h"
#include "cuda/kernels/product_tiles.h"

// x [rows, depth], w [columns, depth]; depth is a multiple of 8 (16-byte rows).
template <typename T, typename Out>
CLIPENGINE_DEVICE void product_16bit(const T* x, const T* w, Out* y, int rows, int columns, int depth, const Epilogue& epilogue) {
  CLIPENGINE_DYNAMIC_SHARED(shared);
  T* x_tiles = reinterpret_cast<T*>(shared);
  T* w_tiles = x_tiles + kStages * kTileRows * kTilePitch;
  const int thread = thread_index(), warp = thread / 32, lane = thread % 32;
  const int row0 = block_index_y() * kTileRows, column0 = block_index_x() * kTileColumns;
  const int warp_row = (warp / 4) * 64, warp_column = (warp % 4) * 32;
  const int steps = (depth + kTileDepth - 1) / kTileDepth;

  float sums[4][4][4];
  CLIPENGINE_UNROLL
  for (int i = 0; i < 4; ++i)
    CLIPENGINE_UNROLL
    for (int j = 0; j < 4; ++j)
      CLIPENGINE_UNROLL
      for (int e = 0; e < 4; ++e) sums[i][j][e] = 0.0f;

  auto fetch = [&](int step) {
    const int stage = step % kStages, k0 = step * kTileDepth;
    // 128 rows of four 16-byte pieces for x and for w: two pieces of each a thread.
    for (int piece = thread; piece < kTileRows * 4; piece += kProductThreads) {
      const int r = piece / 4, k = (piece % 4) * 8;
      const bool in_depth = k0 + k < depth;
      const bool x_valid = in_depth && row0 + r < rows, w_valid = in_depth && column0 + r < columns;
      copy_async_16(x_tiles + (stage * kTileRows + r) * kTilePitch + k, x_valid ? x + (int64_t)(row0 + r) * depth + k0 + k : x, x_valid);
      copy_async_16(w_tiles + (stage * kTileColumns + r) * kTilePitch + k, w_valid ? w + (int64_t)(column0 + r) * depth + k0 + k : w, w_valid);
    }
  };

  for (int step = 0; step < kStages - 1; ++step) {
    if (step < steps) fetch(step);
    copy_async_commit();
  }
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<kStages - 2>();
    block_barrier();  // the stage has landed for everybody, and nobody still reads the one that is fetched next
    if (step + kStages - 1 < steps) fetch(step + kStages - 1);
    copy_async_commit();
    const T* x_tile = x_tiles + (step % kStages) * kTileRows * kTilePitch;
    const T* w_tile = w_tiles + (step % kStages) * kTileColumns * kTilePitch;
    CLIPENGINE_UNROLL
    for (int k = 0; k < kTileDepth; k += 16) {
      uint32_t a[4][4], b[4][2];
      CLIPENGINE_UNROLL
      for (int i = 0; i < 4; ++i) load_matrix_x4(a[i], x_tile + (warp_row + i * 16 + lane % 16) * kTilePitch + k + (lane / 16) * 8);
      CLIPENGINE_UNROLL
      for (int j = 0; j < 4; j += 2) {
        uint32_t pair[4];  // two column groups of eight: depth halves side by side
        load_matrix_x4(pair, w_tile + (warp_column + j * 8 + (lane / 16) * 8 + lane % 8) * kTilePitch + k + ((lane / 8) % 2) * 8);
        b[j][0] = pair[0];
        b[j][1] = pair[1];
        b[j + 1][0] = pair[2];
        b[j + 1][1] = pair[3];
      }
      CLIPENGINE_UNROLL
      for (int i = 0; i < 4; ++i)
        CLIPENGINE_UNROLL
        for (int j = 0; j < 4; ++j) multiply_tile(sums[i][j], a[i], b[j], T());
    }
  }
  copy_async_wait<0>();

  // Half of the tile at a time, 64 rows, in the memory of the stages.
  float* tile_sums = reinterpret_cast<float*>(shared);
  for (int half = 0; half < 2; ++half) {
    block_barrier();  // nobody reads the stages, or the other half, any more
    if (warp / 4 == half) {
      CLIPENGINE_UNROLL
      for (int i = 0; i < 4; ++i)
        CLIPENGINE_UNROLL
        for (int j = 0; j < 4; ++j)
          CLIPENGINE_UNROLL
          for (int e = 0; e < 4; ++e) tile_sums[(i * 16 + lane / 4 + (e / 2) * 8) * kSumPitch + warp_column + j * 8 + (lane % 4) * 2 + e % 2] = sums[i][j][e];
    }
    block_barrier();
    finish_rows<kTileRows / 2, kTileColumns, kSumPitch, kProductThreads>(tile_sums, y, row0 + half * (kTileRows / 2), column0, rows, columns, epilogue);
  }
}

// The same in fp32; depth is arbitrary.
CLIPENGINE_DEVICE void product_fp32(const float* x, const float* w, float* y, int rows, int columns, int depth, const Epilogue& epilogue) {
  CLIPENGINE_SHARED float tiles[kPlainTile * kPlainPitch];  // first those of x and w, in the end the sums
  float(*x_tile)[kPlainPitch] = reinterpret_cast<float(*)[kPlainPitch]>(tiles);
  float(*w_tile)[kPlainPitch] = x_tile + kPlainDepth;
  const int thread = thread_index();
  const int row0 = block_index_y() * kPlainTile, column0 = block_index_x() * kPlainTile;
  const int my_row = (thread / 16) * 4, my_column = (thread % 16) * 4;
  float sums[4][4];
  CLIPENGINE_UNROLL
  for (int i = 0; i < 4; ++i)
    CLIPENGINE_UNROLL
    for (int j = 0; j < 4; ++j) sums[i][j] = 0.0f;
  for (int k0 = 0; k0 < depth; k0 += kPlainDepth) {
    for (int element = thread; element < kPlainTile * kPlainDepth; element += kProductThreads) {
      const int r = element / kPlainDepth, k = element % kPlainDepth;
      const bool in_depth = k0 + k < depth;
      x_tile[k][r] = in_depth && row0 + r < rows ? x[(int64_t)(row0 + r) * depth + k0 + k] : 0.0f;
      w_tile[k][r] = in_depth && column0 + r < columns ? w[(int64_t)(column0 + r) * depth + k0 + k] : 0.0f;
    }
    block_barrier();
    CLIPENGINE_UNROLL
    for (int k = 0; k < kPlainDepth; ++k) {
      float a[4], b[4];
      CLIPENGINE_UNROLL
      for (int i = 0; i < 4; ++i) a[i] = x_tile[k][my_row + i];
      CLIPENGINE_UNROLL
      for (int j = 0; j < 4; ++j) b[j] = w_tile[k][my_column + j];
      CLIPENGINE_UNROLL
      for (int i = 0; i < 4; ++i)
        CLIPENGINE_UNROLL
        for (int j = 0; j < 4; ++j) sums[i][j] = multiply_add(a[i], b[j], sums[i][j]);
    }
    block_barrier();
  }
  CLIPENGINE_UNROLL
  for (int i = 0; i < 4; ++i)
    CLIPENGINE_UNROLL
    for (int j = 0; j < 4; ++j) tiles[(my_row + i) * kPlainPitch + my_column + j] = sums[i][j];
  block_barrier();
  finish_rows<kPlainTile, kPlainTile, kPlainPitch, kProductThreads>(tiles, y, row0, column0, rows, columns, epilogue);
}

#define CLIPENGINE_PRODUCT(name, T, Out)                                                                                              \
  CLIPENGINE_KERNEL __launch_bounds__(kProductThreads) name(const T* x, const T* w, Out* y, int rows, int columns, int depth,          \
                                                            const float* bias, const float* scale, const float* residual, int activation) { \
    product_16bit<T, Out>(x, w, y, rows, columns, depth, Epilogue{bias, scale, residual, activation});                                 \
  }
CLIPENGINE_PRODUCT(product_bf16, bf16, bf16)
CLIPENGINE_PRODUCT(product_bf16_fp32, bf16, float)
CLIPENGINE_PRODUCT(product_fp16, fp16, fp16)
CLIPENGINE_PRODUCT(product_fp16_fp32, fp16, float)
#undef CLIPENGINE_PRODUCT

// depth in fp32 elements, a multiple of 4.
CLIPENGINE_KERNEL __launch_bounds__(kProductThreads) product_tf32_fp32(const float* x, const float* w, float* y, int rows, int columns, int depth,
                                                                       const float* bias, const float* scale, const float* residual, int activation) {
  product_16bit<tf32, float>(reinterpret_cast<const tf32*>(x), reinterpret_cast<const tf32*>(w), y, rows, columns, 2 * depth, Epilogue{bias, scale, residual, activation});
}

CLIPENGINE_KERNEL __launch_bounds__(kProductThreads) product_fp32_fp32(const float* x, const float* w, float* y, int rows, int columns, int depth,
                                                                       const float* bias, const float* scale, const float* residual, int activation) {
  product_fp32(x, w, y, rows, columns, depth, Epilogue{bias, scale, residual, activation});
}

#if defined(CLIPENGINE_HAS_FP8)
// One block a multiprocessor is enough for the bounds: Hopper unpacks e4m3 for mma.sync, and needs more registers than two leave it.
// x [rows, depth] and w [columns, depth] in e4m3, depth a multiple of 16, times the scales of their rows (quantize.cu).
#define CLIPENGINE_PRODUCT(name, Out)                                                                                                 \
  CLIPENGINE_KERNEL __launch_bounds__(kProductThreads, 1) name(const fp8_pair* x, const fp8_pair* w, Out* y, int rows, int columns, int depth, \
                                                            const float* bias, const float* scale, const float* residual, int activation,   \
                                                            const float* x_scales, const float* w_scales) {                            \
    product_16bit<fp8_pair, Out>(x, w, y, rows, columns, depth / 2, Epilogue{bias, scale, residual, activation, x_scales, w_scales});  \
  }
CLIPENGINE_PRODUCT(product_fp8_bf16, bf16)
CLIPENGINE_PRODUCT(product_fp8_fp32, float)
#undef CLIPENGINE_PRODUCT
#endif  // CLIPENGINE_HAS_FP8
