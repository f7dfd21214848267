// The products of matrix_product.cu for 16-bit elements on Hopper's own tensor-core instructions (wgmma, sm_90a): tiles of 128 x
// 256, 64 deep, four stages of asynchronous copies, of which two are on their way, one is multiplied and one may still be read by
// the product before. Operands come from shared memory in the 128-byte swizzle; sums are fp32, in the order of the depth alone.
#include "cuda/kernels/product_epilogue.h"
#include "cuda/kernels/product_tiles.h"

#if defined(CLIPENGINE_HAS_WGMMA)

// x [rows, depth], w [columns, depth]; depth is a multiple of 8 (16-byte rows).
template <typename T, typename Out>
CLIPENGINE_DEVICE void product_wide(const T* x, const T* w, Out* y, int rows, int columns, int depth, const Epilogue& epilogue) {
  CLIPENGINE_DYNAMIC_SHARED(unaligned);
  unsigned char* const shared = unaligned + (1024 - shared_address(unaligned) % 1024) % 1024;
  constexpr int on_the_way = kWideStages - 2;
  const int thread = thread_index(), group = thread / 128, warp = thread / 32, lane = thread % 32;
  const int row0 = block_index_y() * kWideRows, column0 = block_index_x() * kWideColumns;
  const int steps = (depth + kWideDepth - 1) / kWideDepth;

  // Rows of x, then rows of w, each 128 bytes; of eight rows the eight 16-byte pieces stand in the order that their row's number gives
  // when its bits are mixed into theirs.
  auto fetch = [&](int step) {
    unsigned char* const stage = shared + (step % kWideStages) * kWideStageBytes;
    const int piece = thread % 8, k = step * kWideDepth + piece * 8;
    for (int r = thread / 8; r < kWideRows + kWideColumns; r += kProductThreads / 8) {
      const bool is_x = r < kWideRows;
      const int source_row = is_x ? row0 + r : column0 + r - kWideRows;
      const bool valid = k < depth && source_row < (is_x ? rows : columns);
      const T* const source = is_x ? x : w;
      copy_async_16(stage + r * 128 + ((piece ^ r) % 8) * 16, valid ? source + (int64_t)source_row * depth + k : source, valid);
    }
  };

  float sums[kWideColumns / 2];
  CLIPENGINE_UNROLL
  for (int i = 0; i < kWideColumns / 2; ++i) sums[i] = 0.0f;

  for (int step = 0; step < on_the_way; ++step) {
    if (step < steps) fetch(step);
    copy_async_commit();
  }
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<on_the_way - 1>();
    fence_async_proxy();  // wgmma reads shared memory on another path than the copies write it
    block_barrier();      // the stage has landed for everybody, and everybody's product of two steps before is done
    const unsigned char* const x_tile = shared + (step % kWideStages) * kWideStageBytes + group * 64 * 128;
    const unsigned char* const w_tile = shared + (step % kWideStages) * kWideStageBytes + kWideRows * 128;
    wgmma_fence();
    CLIPENGINE_UNROLL
    for (int k = 0; k < kWideDepth; k += 16) wgmma_m64n256(sums, swizzled_matrix(x_tile + k * 2), swizzled_matrix(w_tile + k * 2), T());
    wgmma_commit();
    if (step + on_the_way < steps) fetch(step + on_the_way);
    copy_async_commit();
    wgmma_wait<1>();
  }
  wgmma_wait_all(sums);
  copy_async_wait<0>();
  block_barrier();  // nobody reads the stages any more

  float* const tile_sums = reinterpret_cast<float*>(shared);
  CLIPENGINE_UNROLL
  for (int j = 0; j < kWideColumns / 8; ++j)
    CLIPENGINE_UNROLL
    for (int e = 0; e < 4; ++e) tile_sums[(warp * 16 + lane / 4 + (e / 2) * 8) * kWideSumPitch + j * 8 + (lane % 4) * 2 + e % 2] = sums[j * 4 + e];
  block_barrier();
  finish_rows<kWideRows, kWideColumns, kWideSumPitch, kProductThreads>(tile_sums, y, row0, column0, rows, columns, epilogue);
}

#define CLIPENGINE_PRODUCT(name, T, Out)                                                                                              \
  CLIPENGINE_KERNEL __launch_bounds__(kProductThreads, 1) name(const T* x, const T* w, Out* y, int rows, int columns, int depth,       \
                                                            const float* bias, const float* scale, const float* residual, int activation) { \
    product_wide<T, Out>(x, w, y, rows, columns, depth, Epilogue{bias, scale, residual, activation});                                  \
  }
CLIPENGINE_PRODUCT(product_wide_bf16, bf16, bf16)
CLIPENGINE_PRODUCT(product_wide_bf16_fp32, bf16, float)
CLIPENGINE_PRODUCT(product_wide_fp16, fp16, fp16)
CLIPENGINE_PRODUCT(product_wide_fp16_fp32, fp16, float)
#undef CLIPENGINE_PRODUCT

#endif  // CLIPENGINE_HAS_WGMMA
