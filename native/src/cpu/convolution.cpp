// Convolutions as products: every output pixel's neighbourhood is a row.
#include <algorithm>
#include <cstring>

#include "clipengine_cpu.h"
#include "core/status.h"
#include "core/thread_pool.h"
#include "cpu/linear.h"

namespace clipengine::cpu {
namespace {

struct Window {
  int64_t channels, height, width;  // of one image, one group
  int64_t kernel_height, kernel_width, stride, padding;
  int64_t out_height, out_width;

  int64_t depth() const { return channels * kernel_height * kernel_width; }
};

// Row p of the output holds the window of output pixel p as [channels, kernel_height, kernel_width]; zeros outside the image.
void gather(const float* image, const Window& window, float* rows) {
  parallel_for(window.out_height, [&](int64_t oy, int) {
    for (int64_t ox = 0; ox < window.out_width; ++ox) {
      float* row = rows + (oy * window.out_width + ox) * window.depth();
      const int64_t left = ox * window.stride - window.padding;
      const int64_t from = std::clamp<int64_t>(-left, 0, window.kernel_width), to = std::clamp<int64_t>(window.width - left, from, window.kernel_width);
      for (int64_t c = 0; c < window.channels; ++c) {
        for (int64_t ky = 0; ky < window.kernel_height; ++ky, row += window.kernel_width) {
          const int64_t y = oy * window.stride - window.padding + ky;
          if (y < 0 || y >= window.height) {
            std::fill(row, row + window.kernel_width, 0.0f);
            continue;
          }
          std::fill(row, row + from, 0.0f);
          const float* line = image + (c * window.height + y) * window.width + left;
          for (int64_t kx = from; kx < to; ++kx) row[kx] = line[kx];
          std::fill(row + to, row + window.kernel_width, 0.0f);
        }
      }
    }
  });
}

void convolve(Pass& pass, const clipengine_cpu_convolution& call) {
  const Weight& kernel = *call.kernel;
  const int64_t out = kernel.columns, group_out = out / call.groups;
  Window window{call.channels / call.groups, call.height, call.width, call.kernel_height, call.kernel_width, call.stride, call.padding, 0, 0};
  window.out_height = (call.height + 2 * call.padding - call.kernel_height) / call.stride + 1;
  window.out_width = (call.width + 2 * call.padding - call.kernel_width) / call.stride + 1;
  const int64_t pixels = window.out_height * window.out_width;
  Scratch scratch(pass.arena);
  float* rows = pass.arena.allocate_array<float>(pixels * window.depth());
  float* products = pass.arena.allocate_array<float>(pixels * out);
  float* sums = pass.arena.allocate_array<float>(pixels * out);
  for (int64_t n = 0; n < call.batch; ++n) {
    for (int64_t g = 0; g < call.groups; ++g) {
      Scratch inner(pass.arena);
      gather(call.input + (n * call.channels + g * window.channels) * call.height * call.width, window, rows);
      Finish finish{};
      finish.bias = values_of(call.bias);
      finish.output = products;
      finish.output_stride = out;
      const int64_t from = g * group_out, to = from + group_out;
      multiply(pass, pack(pass, rows, window.depth(), pixels, kernel), kernel, finish, from, to);
      // Back to channels outermost, at most sixteen channels (a cache line of the products) at a time. Columns of other groups
      // that shared a panel were multiplied with the wrong input and are left behind.
      const float* residual = call.residual == nullptr ? nullptr : call.residual + n * out * pixels;
      parallel_for(divide_up(group_out, kLine), [&](int64_t chunk, int) {
        const int64_t first = from + chunk * kLine, last = std::min(to, first + kLine);
        for (int64_t p = 0; p < pixels; p += kLine) {
          for (int64_t c = first; c < last; ++c) {
            for (int64_t i = p; i < std::min(pixels, p + kLine); ++i) sums[c * pixels + i] = products[i * out + c];
          }
        }
        const int64_t offset = first * pixels, count = (last - first) * pixels;
        if (residual != nullptr) pass.kernels->add(sums + offset, residual + offset, sums + offset, count);
        pass.kernels->activate(sums + offset, call.output + n * out * pixels + offset, count, static_cast<Activation>(call.activation));
      });
    }
  }
}

// Every output channel looks at one input channel: no product, but planes that move past their kernels.
void convolve_depthwise(Pass& pass, const clipengine_cpu_convolution& call, int64_t outputs) {
  const int64_t kernel_size = call.kernel_height * call.kernel_width, each = outputs / call.channels;
  const int64_t out_height = (call.height + 2 * call.padding - call.kernel_height) / call.stride + 1;
  const int64_t out_width = (call.width + 2 * call.padding - call.kernel_width) / call.stride + 1;
  const int64_t rows = (out_height - 1) * call.stride + call.kernel_height, pixels = out_height * out_width;
  // Whole pairs of vectors are read, behind the last column too.
  const int64_t phase_width = round_up(out_width, 2 * kLine) + divide_up(call.kernel_width, call.stride) + kLine;
  const int threads = ThreadPool::instance().size();
  Scratch scratch(pass.arena);
  const int64_t plane_floats = round_up(rows * call.stride * phase_width, kLine), sum_floats = round_up(pixels, kLine);
  float* buffers = pass.arena.allocate_array<float>((plane_floats + sum_floats) * threads);
  parallel_for(call.batch * call.channels, [&](int64_t chunk, int worker) {
    const int64_t n = chunk / call.channels, channel = chunk % call.channels;
    const float* image = call.input + chunk * call.height * call.width;
    float* plane = buffers + worker * (plane_floats + sum_floats);
    float* sums = plane + plane_floats;
    std::fill(plane, plane + plane_floats, 0.0f);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t y = r - call.padding;
      if (y < 0 || y >= call.height) continue;
      float* row = plane + r * call.stride * phase_width;
      for (int64_t x = 0; x < call.width; ++x) {
        const int64_t c = x + call.padding;
        if (c / call.stride < phase_width) row[c % call.stride * phase_width + c / call.stride] = image[y * call.width + x];
      }
    }
    for (int64_t i = 0; i < each; ++i) {
      const int64_t out = channel * each + i, offset = (n * outputs + out) * pixels;
      DepthwisePlane work{};
      work.plane = plane;
      work.phase_width = phase_width;
      work.kernel = call.kernel->values() + out * kernel_size;
      work.kernel_height = call.kernel_height;
      work.kernel_width = call.kernel_width;
      work.stride = call.stride;
      work.out_height = out_height;
      work.out_width = out_width;
      work.bias = call.bias == nullptr ? 0.0f : call.bias->values()[out];
      work.output = sums;
      pass.kernels->depthwise(work);
      if (call.residual != nullptr) pass.kernels->add(sums, call.residual + offset, sums, pixels);
      pass.kernels->activate(sums, call.output + offset, pixels, static_cast<Activation>(call.activation));
    }
  }, threads);
}

// The windows of a map that is kept as tokens, as gather() makes them of one that is not.
void gather_tokens(const float* image, const Window& window, float* rows) {
  const int64_t taps = window.kernel_height * window.kernel_width;
  parallel_for(window.out_height, [&](int64_t oy, int) {
    for (int64_t ox = 0; ox < window.out_width; ++ox) {
      float* row = rows + (oy * window.out_width + ox) * window.depth();
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int64_t y = oy * window.stride - window.padding + tap / window.kernel_width, x = ox * window.stride - window.padding + tap % window.kernel_width;
        const bool is_inside = y >= 0 && y < window.height && x >= 0 && x < window.width;
        const float* pixel = image + (y * window.width + x) * window.channels;
        for (int64_t c = 0; c < window.channels; ++c) row[c * taps + tap] = is_inside ? pixel[c] : 0.0f;
      }
    }
  });
}

// Products come out as tokens, so that nothing is turned.
void convolve_tokens(Pass& pass, const clipengine_cpu_convolution& call) {
  const Weight& kernel = *call.kernel;
  const int64_t out = kernel.columns;
  Window window{call.channels, call.height, call.width, call.kernel_height, call.kernel_width, call.stride, call.padding, 0, 0};
  window.out_height = (call.height + 2 * call.padding - call.kernel_height) / call.stride + 1;
  window.out_width = (call.width + 2 * call.padding - call.kernel_width) / call.stride + 1;
  const int64_t pixels = window.out_height * window.out_width;
  Scratch scratch(pass.arena);
  float* rows = pass.arena.allocate_array<float>(pixels * window.depth());
  float* sums = call.residual == nullptr ? nullptr : pass.arena.allocate_array<float>(pixels * out);
  for (int64_t n = 0; n < call.batch; ++n) {
    Scratch inner(pass.arena);
    gather_tokens(call.input + n * call.channels * call.height * call.width, window, rows);
    float* output = call.output + n * pixels * out;
    Finish finish{};
    finish.bias = values_of(call.bias);
    finish.activation = sums == nullptr ? static_cast<Activation>(call.activation) : Activation::None;
    finish.output = sums == nullptr ? output : sums;
    finish.output_stride = out;
    multiply(pass, pack(pass, rows, window.depth(), pixels, kernel), kernel, finish);
    if (sums == nullptr) continue;
    // A product adds its residual behind the activation; a convolution in front of it.
    parallel_for(window.out_height, [&](int64_t y, int) {
      const int64_t offset = y * window.out_width * out, count = window.out_width * out;
      pass.kernels->add(sums + offset, call.residual + n * pixels * out + offset, sums + offset, count);
      pass.kernels->activate(sums + offset, output + offset, count, static_cast<Activation>(call.activation));
    });
  }
}

// Every output channel looks at one input channel: kLine channels at a time are copied into a plane of their own, so that what a
// kernel sees lies together, and move past their kernels side by side.
void convolve_tokens_depthwise(Pass& pass, const clipengine_cpu_convolution& call, int64_t outputs) {
  const int64_t taps = call.kernel_height * call.kernel_width, each = outputs / call.channels, blocks = divide_up(outputs, kLine);
  const int64_t out_height = (call.height + 2 * call.padding - call.kernel_height) / call.stride + 1;
  const int64_t out_width = (call.width + 2 * call.padding - call.kernel_width) / call.stride + 1;
  const int64_t columns = call.width + 2 * call.padding, plane_floats = call.height * columns * kLine, row_floats = out_width * kLine;
  const int threads = ThreadPool::instance().size();
  const auto activation = static_cast<Activation>(call.activation);
  Scratch scratch(pass.arena);
  float* kernels = pass.arena.allocate_array<float>(blocks * (taps + 1) * kLine);  // behind the taps the bias
  float* buffers = pass.arena.allocate_array<float>((plane_floats + row_floats) * threads);
  const float *values = call.kernel->values(), *bias = call.bias == nullptr ? nullptr : call.bias->values();
  for (int64_t o = 0; o < blocks * kLine; ++o) {
    float* kernel = kernels + o / kLine * (taps + 1) * kLine + o % kLine;
    for (int64_t tap = 0; tap < taps; ++tap) kernel[tap * kLine] = o < outputs ? values[o * taps + tap] : 0.0f;
    kernel[taps * kLine] = o < outputs && bias != nullptr ? bias[o] : 0.0f;
  }
  parallel_for(call.batch * blocks, [&](int64_t chunk, int worker) {
    const int64_t n = chunk / blocks, first = chunk % blocks * kLine, count = std::min(kLine, outputs - first);
    const float* image = call.input + n * call.height * call.width * call.channels;
    float* plane = buffers + worker * (plane_floats + row_floats);
    float* line = plane + plane_floats;
    for (int64_t y = 0; y < call.height; ++y) {
      float* row = plane + y * columns * kLine;
      std::fill(row, row + call.padding * kLine, 0.0f);
      std::fill(row + (columns - call.padding) * kLine, row + columns * kLine, 0.0f);
      for (int64_t x = 0; x < call.width; ++x) {
        const float* pixel = image + (y * call.width + x) * call.channels;
        float* target = row + (x + call.padding) * kLine;
        if (each == 1 && count == kLine) {
          std::memcpy(target, pixel + first, kLine * sizeof(float));
        } else {
          int64_t channel = first / each, turn = first % each;
          for (int64_t c = 0; c < kLine; ++c) {
            target[c] = c < count ? pixel[channel] : 0.0f;
            if (++turn == each) ++channel, turn = 0;
          }
        }
      }
    }
    const float* kernel = kernels + first * (taps + 1);
    const bool is_direct = count == kLine && call.residual == nullptr && activation == Activation::None;
    for (int64_t y = 0; y < out_height; ++y) {
      const int64_t top = y * call.stride - call.padding, from = std::max<int64_t>(0, -top), to = std::min(call.kernel_height, call.height - top);
      const int64_t offset = ((n * out_height + y) * out_width) * outputs + first;
      DepthwiseLines work{};
      work.plane = plane + (top + from) * columns * kLine;
      work.columns = columns;
      work.kernel = kernel + from * call.kernel_width * kLine;
      work.kernel_height = std::max<int64_t>(0, to - from);
      work.kernel_width = call.kernel_width;
      work.stride = call.stride;
      work.bias = kernel + taps * kLine;
      work.out_width = out_width;
      work.output = is_direct ? call.output + offset : line;
      work.output_stride = is_direct ? outputs : kLine;
      pass.kernels->depthwise_lines(work);
      if (is_direct) continue;
      if (call.residual != nullptr) {
        for (int64_t x = 0; x < out_width; ++x)
          for (int64_t c = 0; c < count; ++c) line[x * kLine + c] += call.residual[offset + x * outputs + c];
      }
      if (activation != Activation::None) pass.kernels->activate(line, line, row_floats, activation);
      for (int64_t x = 0; x < out_width; ++x) std::memcpy(call.output + offset + x * outputs, line + x * kLine, static_cast<size_t>(count) * sizeof(float));
    }
  }, threads);
}

void embed_patches(Pass& pass, const float* pixels, int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t patch, const Weight& kernel, const Weight* bias,
                   float* output) {
  const int64_t down = height / patch, across = width / patch, count = down * across, depth = channels * patch * patch;
  Scratch scratch(pass.arena);
  float* rows = pass.arena.allocate_array<float>(batch * count * depth);
  parallel_for(batch * down, [&](int64_t chunk, int) {
    const int64_t n = chunk / down, y = chunk % down;
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t py = 0; py < patch; ++py) {
        const float* line = pixels + ((n * channels + c) * height + y * patch + py) * width;
        float* row = rows + (n * count + y * across) * depth + (c * patch + py) * patch;
        for (int64_t x = 0; x < across; ++x) std::memcpy(row + x * depth, line + x * patch, static_cast<size_t>(patch) * sizeof(float));
      }
    }
  });
  Finish finish{};
  finish.bias = values_of(bias);
  finish.output = output;
  finish.output_stride = kernel.columns;
  multiply(pass, pack(pass, rows, depth, batch * count, kernel), kernel, finish);
}

}  // namespace
}  // namespace clipengine::cpu

extern "C" clipengine_status clipengine_cpu_convolve(clipengine_cpu_pass* pass, const clipengine_cpu_convolution* call) noexcept {
  return clipengine::guard([&] { clipengine::cpu::convolve(*pass, *call); });
}

extern "C" clipengine_status clipengine_cpu_convolve_depthwise(clipengine_cpu_pass* pass, const clipengine_cpu_convolution* call, int64_t outputs) noexcept {
  return clipengine::guard([&] { clipengine::cpu::convolve_depthwise(*pass, *call, outputs); });
}

extern "C" clipengine_status clipengine_cpu_convolve_tokens(clipengine_cpu_pass* pass, const clipengine_cpu_convolution* call, int64_t depthwise_outputs) noexcept {
  return clipengine::guard([&] {
    if (depthwise_outputs > 0) {
      clipengine::cpu::convolve_tokens_depthwise(*pass, *call, depthwise_outputs);
    } else {
      clipengine::cpu::convolve_tokens(*pass, *call);
    }
  });
}

extern "C" clipengine_status clipengine_cpu_patch_embedding(clipengine_cpu_pass* pass, const float* pixels, int64_t batch, int64_t channels, int64_t height, int64_t width,
                                                            int64_t patch, const clipengine_cpu_weight* kernel, const clipengine_cpu_weight* bias, float* output) noexcept {
  return clipengine::guard([&] {
    if (batch > 0) clipengine::cpu::embed_patches(*pass, pixels, batch, channels, height, width, patch, *kernel, bias, output);
  });
}

extern "C" clipengine_status clipengine_cpu_average_pool(clipengine_cpu_pass*, const float* input, int64_t maps, int64_t height, int64_t width, int64_t size, int64_t stride,
                                                         int64_t padding, float* output) noexcept {
  return clipengine::guard([&] {
    const int64_t down = std::max<int64_t>(0, (height + 2 * padding - size + stride) / stride), across = std::max<int64_t>(0, (width + 2 * padding - size + stride) / stride);
    clipengine::parallel_for(maps, [&](int64_t map, int) {
      for (int64_t y = 0; y < down; ++y) {
        const int64_t top = std::max<int64_t>(0, y * stride - padding), bottom = std::min(height, y * stride - padding + size);
        for (int64_t x = 0; x < across; ++x) {
          const int64_t left = std::max<int64_t>(0, x * stride - padding), right = std::min(width, x * stride - padding + size);
          float sum = 0;
          for (int64_t row = top; row < bottom; ++row) {
            for (int64_t column = left; column < right; ++column) sum += input[(map * height + row) * width + column];
          }
          output[(map * down + y) * across + x] = sum / static_cast<float>((bottom - top) * (right - left));
        }
      }
    });
  });
}
