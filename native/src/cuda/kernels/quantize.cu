// Rows as e4m3 with a scale each, for products in fp8: x is about scale * e4m3, and a row's largest magnitude becomes 448, the largest
// number that e4m3 has. One warp a row. The GPUs that multiply e4m3 (sm_89 and later) are those that convert to it.
#include "cuda/kernels/primitives.h"

constexpr int kQuantizeRows = 8, kQuantizeThreads = kQuantizeRows * 32;
constexpr float kLargestFp8 = 448.0f;

#if defined(CLIPENGINE_HAS_FP8)

// x [rows, width], y [rows, padded] bytes, padded an even number; what lies behind a row's end is zero.
template <typename In>
CLIPENGINE_DEVICE void quantize_rows(const In* x, fp8_pair* y, float* scales, int64_t rows, int width, int padded) {
  const int lane = thread_index() % 32;
  const int64_t row = (int64_t)block_index_x() * kQuantizeRows + thread_index() / 32;
  if (row >= rows) return;  // a whole warp leaves: its lanes share the row
  x += row * width;
  y += row * (padded / 2);
  float largest = 0.0f;
  for (int i = lane; i < width; i += 32) largest = maximum(largest, magnitude(to_float(x[i])));
  largest = warp_maximum(largest);
  const float factor = largest > 0.0f ? kLargestFp8 / largest : 1.0f;
  for (int pair = lane; pair < padded / 2; pair += 32) {
    const float low = 2 * pair < width ? to_float(x[2 * pair]) * factor : 0.0f;
    const float high = 2 * pair + 1 < width ? to_float(x[2 * pair + 1]) * factor : 0.0f;
    y[pair] = pack_fp8(low, high);
  }
  if (lane == 0) scales[row] = largest > 0.0f ? largest / kLargestFp8 : 1.0f;
}

CLIPENGINE_KERNEL __launch_bounds__(kQuantizeThreads) quantize_rows_fp32(const float* x, fp8_pair* y, float* scales, int64_t rows, int width, int padded) { quantize_rows(x, y, scales, rows, width, padded); }
CLIPENGINE_KERNEL __launch_bounds__(kQuantizeThreads) quantize_rows_bf16(const bf16* x, fp8_pair* y, float* scales, int64_t rows, int width, int padded) { quantize_rows(x, y, scales, rows, width, padded); }

#endif  // CLIPENGINE_HAS_FP8
