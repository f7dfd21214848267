// Layer norm, RMS norm and L2 normalisation: one warp a row, sums in fp32 whatever the elements are.
#include "cuda/kernels/primitives.h"

constexpr int kRowsPerBlock = 8, kNormThreads = kRowsPerBlock * 32;

// y = (x - mean) / sqrt(variance + epsilon) * weight + bias; x, y [rows, width]; the biased variance, in two passes.
template <typename In, typename Out>
CLIPENGINE_DEVICE void layer_norm(const In* x, const float* weight, const float* bias, Out* y, int64_t rows, int width, float epsilon) {
  const int lane = thread_index() % 32;
  const int64_t row = (int64_t)block_index_x() * kRowsPerBlock + thread_index() / 32;
  if (row >= rows) return;  // a whole warp leaves: its lanes share the row
  x += row * width;
  y += row * width;
  float sum = 0.0f;
  for (int i = lane; i < width; i += 32) sum += to_float(x[i]);
  const float mean = warp_sum(sum) / (float)width;
  float squares = 0.0f;
  for (int i = lane; i < width; i += 32) {
    const float centred = to_float(x[i]) - mean;
    squares = multiply_add(centred, centred, squares);
  }
  const float factor = reciprocal_square_root(warp_sum(squares) / (float)width + epsilon);
  for (int i = lane; i < width; i += 32) y[i] = convert<Out>((to_float(x[i]) - mean) * factor * weight[i] + bias[i]);
}

// y = x / sqrt(mean of x^2 + epsilon) * weight; x, y [rows, width].
template <typename In, typename Out>
CLIPENGINE_DEVICE void rms_norm(const In* x, const float* weight, Out* y, int64_t rows, int width, float epsilon) {
  const int lane = thread_index() % 32;
  const int64_t row = (int64_t)block_index_x() * kRowsPerBlock + thread_index() / 32;
  if (row >= rows) return;
  x += row * width;
  y += row * width;
  float squares = 0.0f;
  for (int i = lane; i < width; i += 32) squares = multiply_add(to_float(x[i]), to_float(x[i]), squares);
  const float factor = reciprocal_square_root(warp_sum(squares) / (float)width + epsilon);
  for (int i = lane; i < width; i += 32) y[i] = convert<Out>(to_float(x[i]) * factor * weight[i]);
}

// y = x / max(||x||, 1e-12), as torch.nn.functional.normalize.
template <typename In>
CLIPENGINE_DEVICE void l2_normalize(const In* x, float* y, int64_t rows, int width) {
  const int lane = thread_index() % 32;
  const int64_t row = (int64_t)block_index_x() * kRowsPerBlock + thread_index() / 32;
  if (row >= rows) return;
  x += row * width;
  y += row * width;
  float squares = 0.0f;
  for (int i = lane; i < width; i += 32) squares = multiply_add(to_float(x[i]), to_float(x[i]), squares);
  const float factor = reciprocal_square_root(maximum(warp_sum(squares), 1e-24f));
  for (int i = lane; i < width; i += 32) y[i] = to_float(x[i]) * factor;
}

#define CLIPENGINE_LAYER_NORM(name, In, Out)                                                                                             \
  CLIPENGINE_KERNEL __launch_bounds__(kNormThreads) name(const In* x, const float* weight, const float* bias, Out* y, int64_t rows, int width, \
                                                         float epsilon) {                                                                 \
    layer_norm<In, Out>(x, weight, bias, y, rows, width, epsilon);                                                                       \
  }
CLIPENGINE_LAYER_NORM(layer_norm_fp32, float, float)
CLIPENGINE_LAYER_NORM(layer_norm_fp32_bf16, float, bf16)
CLIPENGINE_LAYER_NORM(layer_norm_fp32_fp16, float, fp16)
CLIPENGINE_LAYER_NORM(layer_norm_bf16, bf16, bf16)
CLIPENGINE_LAYER_NORM(layer_norm_fp16, fp16, fp16)
#undef CLIPENGINE_LAYER_NORM

#define CLIPENGINE_RMS_NORM(name, In, Out) \
  CLIPENGINE_KERNEL __launch_bounds__(kNormThreads) name(const In* x, const float* weight, Out* y, int64_t rows, int width, float epsilon) { rms_norm<In, Out>(x, weight, y, rows, width, epsilon); }
CLIPENGINE_RMS_NORM(rms_norm_fp32, float, float)
CLIPENGINE_RMS_NORM(rms_norm_fp32_bf16, float, bf16)
CLIPENGINE_RMS_NORM(rms_norm_fp32_fp16, float, fp16)
CLIPENGINE_RMS_NORM(rms_norm_bf16, bf16, bf16)
CLIPENGINE_RMS_NORM(rms_norm_fp16, fp16, fp16)
#undef CLIPENGINE_RMS_NORM

CLIPENGINE_KERNEL __launch_bounds__(kNormThreads) l2_normalize_fp32(const float* x, float* y, int64_t rows, int width) { l2_normalize(x, y, rows, width); }
CLIPENGINE_KERNEL __launch_bounds__(kNormThreads) l2_normalize_bf16(const bf16* x, float* y, int64_t rows, int width) { l2_normalize(x, y, rows, width); }
CLIPENGINE_KERNEL __launch_bounds__(kNormThreads) l2_normalize_fp16(const fp16* x, float* y, int64_t rows, int width) { l2_normalize(x, y, rows, width); }
