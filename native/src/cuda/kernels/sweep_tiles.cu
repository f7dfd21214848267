// The probe sweep's tiled products: 128 rows by 128 prompts, scores to shared memory, there softmax and sums (sweep_tail.h).
//
// 16-bit rows multiply on tensor cores (mma.sync m16n8k16, fp32 accumulation) with prompts in the same type; a prompt that the
// type does not hold exactly comes in two or three pieces whose products are summed in the same accumulators. fp32 rows take
// plain fused multiply-adds. A block's tile of columns holds whole segments, or a piece of a long one: then the first pass
// (sweep_scan) leaves statistics, and the second (sweep_emit) repeats the product with the segment's maximum and sum known.
#include "cuda/kernels/sweep_tail.h"

constexpr int kSweepDepth = 32, kSweepStages = 3;
constexpr int kSweepStagePitch = kSweepDepth + 8;  // as kTilePitch in matrix_product.cu

// Scores of a tile, in base 2, into shared memory [kSweepTileRows][kSweepPitch].
template <typename T>
CLIPENGINE_DEVICE void sweep_product(const SweepTask& task, const SweepTile& tile, unsigned char* shared, const int* tile_rows, T) {
  T* x_tiles = reinterpret_cast<T*>(shared);
  T* w_tiles = x_tiles + kSweepStages * kSweepTileRows * kSweepStagePitch;
  const T* rows = static_cast<const T*>(task.rows);
  const T* prompts = static_cast<const T*>(task.prompts) + (int64_t)tile.column * task.width;
  const int thread = thread_index(), warp = thread / 32, lane = thread % 32;
  const int warp_row = (warp / 4) * 64, warp_column = (warp % 4) * 32;
  const int depth_steps = (task.width + kSweepDepth - 1) / kSweepDepth, steps = depth_steps * task.pieces;

  float sums[4][4][4];
  CLIPENGINE_UNROLL
  for (int i = 0; i < 4; ++i)
    CLIPENGINE_UNROLL
    for (int j = 0; j < 4; ++j)
      CLIPENGINE_UNROLL
      for (int e = 0; e < 4; ++e) sums[i][j][e] = 0.0f;

  const auto fetch = [&](int step) {
    const int stage = step % kSweepStages, k0 = step % depth_steps * kSweepDepth;
    const T* w = prompts + (int64_t)(step / depth_steps) * task.prompt_count * task.width;
    for (int piece = thread; piece < kSweepTileRows * 4; piece += kSweepThreads) {
      const int r = piece / 4, k = (piece % 4) * 8;
      const bool in_depth = k0 + k < task.width;
      const bool x_valid = in_depth && tile_rows[r] >= 0, w_valid = in_depth && r < tile.columns;
      copy_async_16(x_tiles + (stage * kSweepTileRows + r) * kSweepStagePitch + k, x_valid ? rows + (int64_t)tile_rows[r] * task.width + k0 + k : rows, x_valid);
      copy_async_16(w_tiles + (stage * kSweepTileColumns + r) * kSweepStagePitch + k, w_valid ? w + (int64_t)r * task.width + k0 + k : prompts, w_valid);
    }
  };

  for (int step = 0; step < kSweepStages - 1; ++step) {
    if (step < steps) fetch(step);
    copy_async_commit();
  }
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<kSweepStages - 2>();
    block_barrier();  // the stage has landed for everybody, and nobody still reads the one that is fetched next
    if (step + kSweepStages - 1 < steps) fetch(step + kSweepStages - 1);
    copy_async_commit();
    const T* x_tile = x_tiles + (step % kSweepStages) * kSweepTileRows * kSweepStagePitch;
    const T* w_tile = w_tiles + (step % kSweepStages) * kSweepTileColumns * kSweepStagePitch;
    CLIPENGINE_UNROLL
    for (int k = 0; k < kSweepDepth; k += 16) {
      uint32_t a[4][4], b[4][2];
      CLIPENGINE_UNROLL
      for (int i = 0; i < 4; ++i) load_matrix_x4(a[i], x_tile + (warp_row + i * 16 + lane % 16) * kSweepStagePitch + k + (lane / 16) * 8);
      CLIPENGINE_UNROLL
      for (int j = 0; j < 4; j += 2) {
        uint32_t pair[4];
        load_matrix_x4(pair, w_tile + (warp_column + j * 8 + (lane / 16) * 8 + lane % 8) * kSweepStagePitch + k + ((lane / 8) % 2) * 8);
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
  block_barrier();  // the scores take the place of the stages

  float* scores = reinterpret_cast<float*>(shared);
  CLIPENGINE_UNROLL
  for (int i = 0; i < 4; ++i)
    CLIPENGINE_UNROLL
    for (int j = 0; j < 4; ++j)
      CLIPENGINE_UNROLL
      for (int e = 0; e < 4; ++e)
        scores[(warp_row + i * 16 + lane / 4 + (e / 2) * 8) * kSweepPitch + warp_column + j * 8 + (lane % 4) * 2 + e % 2] = multiply_add(sums[i][j][e], task.scale, task.bias);
}

// The same in fp32: 16 deep, the next step's rows in registers while this one's are multiplied, 8 x 8 sums a thread.
CLIPENGINE_DEVICE void sweep_product(const SweepTask& task, const SweepTile& tile, unsigned char* shared, const int* tile_rows, float) {
  constexpr int depth = 16, pitch = kSweepTileRows + 4;
  float* x_tile = reinterpret_cast<float*>(shared);  // [depth][pitch]
  float* w_tile = x_tile + depth * pitch;
  const float* rows = static_cast<const float*>(task.rows);
  const float* prompts = static_cast<const float*>(task.prompts) + (int64_t)tile.column * task.width;
  const int thread = thread_index(), my_row = (thread / 16) * 4, my_column = (thread % 16) * 4;
  float sums[8][8];
  CLIPENGINE_UNROLL
  for (int i = 0; i < 8; ++i)
    CLIPENGINE_UNROLL
    for (int j = 0; j < 8; ++j) sums[i][j] = 0.0f;

  uint32_t x_next[2][4], w_next[2][4];
  const auto fetch = [&](int k0) {
    CLIPENGINE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int r = thread / 4 + half * 64, k = k0 + (thread % 4) * 4;
      CLIPENGINE_UNROLL
      for (int e = 0; e < 4; ++e) x_next[half][e] = w_next[half][e] = 0u;
      if (k < task.width && tile_rows[r] >= 0) load_16(x_next[half], rows + (int64_t)tile_rows[r] * task.width + k);
      if (k < task.width && r < tile.columns) load_16(w_next[half], prompts + (int64_t)r * task.width + k);
    }
  };
  fetch(0);
  for (int k0 = 0; k0 < task.width; k0 += depth) {
    block_barrier();  // nobody still reads the last step
    CLIPENGINE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int r = thread / 4 + half * 64, k = (thread % 4) * 4;
      CLIPENGINE_UNROLL
      for (int e = 0; e < 4; ++e) {
        x_tile[(k + e) * pitch + r] = bits_to_float(x_next[half][e]);
        w_tile[(k + e) * pitch + r] = bits_to_float(w_next[half][e]);
      }
    }
    block_barrier();
    fetch(k0 + depth);
    CLIPENGINE_UNROLL
    for (int k = 0; k < depth; ++k) {
      SweepVector a[2], b[2];
      CLIPENGINE_UNROLL
      for (int half = 0; half < 2; ++half) {
        a[half] = *reinterpret_cast<const SweepVector*>(x_tile + k * pitch + half * 64 + my_row);
        b[half] = *reinterpret_cast<const SweepVector*>(w_tile + k * pitch + half * 64 + my_column);
      }
      CLIPENGINE_UNROLL
      for (int i = 0; i < 8; ++i)
        CLIPENGINE_UNROLL
        for (int j = 0; j < 8; ++j) sums[i][j] = multiply_add(a[i / 4].v[i % 4], b[j / 4].v[j % 4], sums[i][j]);
    }
  }
  block_barrier();  // the scores take the place of the tiles

  float* scores = reinterpret_cast<float*>(shared);
  CLIPENGINE_UNROLL
  for (int i = 0; i < 8; ++i)
    CLIPENGINE_UNROLL
    for (int j = 0; j < 8; ++j)
      scores[(i / 4 * 64 + my_row + i % 4) * kSweepPitch + j / 4 * 64 + my_column + j % 4] = multiply_add(sums[i][j], task.scale, task.bias);
}

// kIsSecond: probabilities of long segments, whose statistics are complete. Otherwise whole segments from start to end, and
// long ones up to their statistics.
template <typename T, bool kIsSecond>
CLIPENGINE_DEVICE void sweep_tile(const SweepTask& task) {
  CLIPENGINE_DYNAMIC_SHARED(shared);
  CLIPENGINE_SHARED int tile_rows[kSweepTileRows];
  const SweepTile tile = task.tiles[block_index_x()];
  if (kIsSecond && tile.piece < 0) return;  // the whole block
  const int place0 = block_index_y() * kSweepTileRows, rows = smaller(kSweepTileRows, task.row_count - place0);
  for (int r = thread_index(); r < kSweepTileRows; r += kSweepThreads) tile_rows[r] = r < rows ? sweep_row(task, place0 + r) : -1;
  block_barrier();
  sweep_product(task, tile, shared, tile_rows, T());
  block_barrier();
  float* scores = reinterpret_cast<float*>(shared);
  if (kIsSecond) {
    sweep_emit_piece(task, tile, scores, rows, place0);
  } else if (tile.piece >= 0) {
    sweep_pieces(task, tile, scores, rows, place0);
    return;
  } else {
    sweep_whole_segments(task, tile, scores, kSweepPitch, rows, place0);
  }
  block_barrier();
  sweep_write(task, tile, scores, kSweepPitch, rows, place0);
}

// Blocks on a multiprocessor at the least. NVRTC 13.0 needs more than the 128 registers of two blocks in fp32 on Blackwell, and spilled up to
// 104 bytes (sm_100, 103, 110; 40 on sm_120 and 121); with one block it has 255. Up to Hopper two blocks spill nothing.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
#define CLIPENGINE_SWEEP_BLOCKS_FP32 1
#else
#define CLIPENGINE_SWEEP_BLOCKS_FP32 2
#endif
#define CLIPENGINE_SWEEP_TILES(type, T, blocks)                                                                                  \
  CLIPENGINE_KERNEL __launch_bounds__(kSweepThreads, blocks) sweep_scan_##type(SweepTask task) { sweep_tile<T, false>(task); } \
  CLIPENGINE_KERNEL __launch_bounds__(kSweepThreads, blocks) sweep_emit_##type(SweepTask task) { sweep_tile<T, true>(task); }
CLIPENGINE_SWEEP_TILES(bf16, bf16, 2)
CLIPENGINE_SWEEP_TILES(fp16, fp16, 2)
CLIPENGINE_SWEEP_TILES(fp32, float, CLIPENGINE_SWEEP_BLOCKS_FP32)
#undef CLIPENGINE_SWEEP_TILES
#undef CLIPENGINE_SWEEP_BLOCKS_FP32
