// Convolutions of which every output channel looks at one input channel. Included inside an anonymous namespace, behind rows_body.h.

// Two vectors of outputs at a time, so that their chains overlap; each is one chain over the kernel in its order.
static void depthwise(const DepthwisePlane& call) {
  const int64_t row_step = call.stride * call.phase_width;
  for (int64_t y = 0; y < call.out_height; ++y) {
    const float* top = call.plane + y * call.stride * row_step;
    float* output = call.output + y * call.out_width;
    for (int64_t x = 0; x < call.out_width; x += 2 * kWidth) {
      Vector sum = spread(call.bias), more = sum;
      const float* kernel = call.kernel;
      for (int64_t ky = 0; ky < call.kernel_height; ++ky) {
        const float* row = top + ky * row_step + x;
        for (int64_t kx = 0; kx < call.kernel_width; ++kx, ++kernel) {
          const float* p = row + kx % call.stride * call.phase_width + kx / call.stride;
          const Vector weight = spread(*kernel);
          sum = multiply_add(weight, load(p), sum);
          more = multiply_add(weight, load(p + kWidth), more);
        }
      }
      store_up_to(output + x, sum, call.out_width - x);
      if (call.out_width - x > kWidth) store_up_to(output + x + kWidth, more, call.out_width - x - kWidth);
    }
  }
}

// kCount neighbouring outputs of one vector of channels: as many chains, each over the kernel in its order and without what lies
// outside the map. A pixel is read once for all outputs that see it. kSide and kStride: the kernel's, or 0 for any. kTwice: whether every
// channel has two outputs.
template <int kSide, int kStride, bool kTwice, int kCount>
static inline void depthwise_pixels(const DepthwiseLines& call, int64_t x, const float* input, const float* kernel, const float* bias, float* output) {
  const int64_t side = kSide > 0 ? kSide : call.kernel_width, stride = kStride > 0 ? kStride : call.stride;
  const int64_t left = x * stride - call.padding, seen = (kCount - 1) * stride + side;
  const int64_t from = left < 0 ? -left : 0, to = call.columns - left < seen ? call.columns - left : seen;
  Vector sums[kCount];
#pragma GCC unroll 8
  for (int i = 0; i < kCount; ++i) sums[i] = load(bias);
  const float* row = input + left * call.pixel_step;
  for (int64_t ky = 0; ky < call.kernel_height; ++ky, row += call.row_step, kernel += side * kLine) {
    if constexpr (kSide > 0 && kStride > 0) {
      Vector weights[kSide];
#pragma GCC unroll 8
      for (int kx = 0; kx < kSide; ++kx) weights[kx] = load(kernel + kx * kLine);
#pragma GCC unroll 32
      for (int j = 0; j < (kCount - 1) * kStride + kSide; ++j) {
        if (j < from || j >= to) continue;
        const float* at = row + j * call.pixel_step;
        const Vector pixel = kTwice ? load_twice(at) : load(at);
#pragma GCC unroll 8
        for (int i = 0; i < kCount; ++i) {
          const int kx = j - i * kStride;
          if (kx >= 0 && kx < kSide) sums[i] = multiply_add(weights[kx], pixel, sums[i]);
        }
      }
    } else {
      for (int64_t j = from; j < to; ++j) {
        const float* at = row + j * call.pixel_step;
        const Vector pixel = kTwice ? load_twice(at) : load(at);
#pragma GCC unroll 8
        for (int i = 0; i < kCount; ++i) {
          const int64_t kx = j - i * stride;
          if (kx >= 0 && kx < side) sums[i] = multiply_add(load(kernel + kx * kLine), pixel, sums[i]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kCount; ++i) store(output + (x + i) * call.output_stride, sums[i]);
}

template <int kSide, int kStride, bool kTwice, int kCount>
static inline void depthwise_channel(const DepthwiseLines& call, int64_t x, int64_t channel) {
  const int64_t block = channel / kLine * call.kernel_step + channel % kLine;
  depthwise_pixels<kSide, kStride, kTwice, kCount>(call, x, call.input + (kTwice ? channel / 2 : channel), call.kernel + block, call.bias + block, call.output + channel);
}

// Kernels up to this size stay in the first-level cache: then a few pixels' channels are walked through in the order of memory, which
// is fetched ahead. Else all pixels of a few channels, whose kernels are read once.
constexpr int64_t kDepthwiseKernelFloats = 4096;

template <int kSide, int kStride, bool kTwice>
static void depthwise_lines_of(const DepthwiseLines& call) {
  const bool by_pixels = call.channels / kLine * call.kernel_step <= kDepthwiseKernelFloats;
  const int64_t step = by_pixels ? call.channels : kWidth;
  for (int64_t first = 0; first < call.channels; first += step) {
    int64_t x = 0;
    for (; x + 8 <= call.out_width; x += 8) {
      for (int64_t c = first; c < first + step; c += kWidth) depthwise_channel<kSide, kStride, kTwice, 8>(call, x, c);
    }
    for (; x + 4 <= call.out_width; x += 4) {
      for (int64_t c = first; c < first + step; c += kWidth) depthwise_channel<kSide, kStride, kTwice, 4>(call, x, c);
    }
    for (; x < call.out_width; ++x) {
      for (int64_t c = first; c < first + step; c += kWidth) depthwise_channel<kSide, kStride, kTwice, 1>(call, x, c);
    }
  }
}

template <bool kTwice>
static void depthwise_lines_of(const DepthwiseLines& call) {
  if (call.kernel_width == 7 && call.stride == 1) return depthwise_lines_of<7, 1, kTwice>(call);
  if (call.kernel_width == 7 && call.stride == 2) return depthwise_lines_of<7, 2, kTwice>(call);
  if (call.kernel_width == 3 && call.stride == 1) return depthwise_lines_of<3, 1, kTwice>(call);
  if (call.kernel_width == 3 && call.stride == 2) return depthwise_lines_of<3, 2, kTwice>(call);
  depthwise_lines_of<0, 0, kTwice>(call);
}

static void depthwise_lines(const DepthwiseLines& call) {
  if (call.twice) return depthwise_lines_of<true>(call);
  depthwise_lines_of<false>(call);
}
