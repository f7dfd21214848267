// Operations that treat every row or element alike, over the thread pool.
#include <algorithm>
#include <cmath>

#include "clipengine_cpu.h"
#include "core/status.h"
#include "core/thread_pool.h"
#include "cpu/pass.h"
#include "cpu/weight.h"

namespace clipengine::cpu {
namespace {

// Floats that one thread handles faster than it could wake another.
constexpr int64_t kWorthSharing = 32768;

// Calls body(first, count) over [0, count) in chunks of about kWorthSharing floats.
template <typename Body>
void share(int64_t count, int64_t floats_each, const Body& body) {
  const int64_t step = std::max<int64_t>(1, kWorthSharing / std::max<int64_t>(1, floats_each));
  parallel_for(divide_up(count, step), [&](int64_t chunk, int) { body(chunk * step, std::min(step, count - chunk * step)); });
}

}  // namespace
}  // namespace clipengine::cpu

using clipengine::cpu::share;

extern "C" clipengine_status clipengine_cpu_layer_norm(clipengine_cpu_pass* pass, const float* input, int64_t rows, int64_t width, const clipengine_cpu_weight* weight,
                                                       const clipengine_cpu_weight* bias, float epsilon, float* output) noexcept {
  return clipengine::guard([&] {
    share(rows, width, [&](int64_t first, int64_t count) {
      pass->kernels->layer_norm(input + first * width, output + first * width, count, width, weight->values(), bias->values(), epsilon);
    });
  });
}

extern "C" clipengine_status clipengine_cpu_rms_norm(clipengine_cpu_pass* pass, const float* input, int64_t rows, int64_t width, const clipengine_cpu_weight* weight, float epsilon,
                                                     float* output) noexcept {
  return clipengine::guard([&] {
    share(rows, width, [&](int64_t first, int64_t count) {
      pass->kernels->rms_norm(input + first * width, output + first * width, count, width, weight->values(), epsilon);
    });
  });
}

extern "C" clipengine_status clipengine_cpu_l2_normalize(clipengine_cpu_pass* pass, const float* input, int64_t rows, int64_t width, float* output) noexcept {
  return clipengine::guard([&] {
    share(rows, width, [&](int64_t first, int64_t count) { pass->kernels->l2_normalize(input + first * width, output + first * width, count, width); });
  });
}

extern "C" clipengine_status clipengine_cpu_activate(clipengine_cpu_pass* pass, const float* input, int64_t count, int32_t activation, float* output) noexcept {
  return clipengine::guard([&] {
    share(count, 1, [&](int64_t first, int64_t here) {
      pass->kernels->activate(input + first, output + first, here, static_cast<clipengine::cpu::Activation>(activation));
    });
  });
}

extern "C" clipengine_status clipengine_cpu_add(clipengine_cpu_pass* pass, const float* left, const float* right, int64_t count, float* output) noexcept {
  return clipengine::guard([&] {
    share(count, 1, [&](int64_t first, int64_t here) { pass->kernels->add(left + first, right + first, output + first, here); });
  });
}

extern "C" clipengine_status clipengine_cpu_multiply(clipengine_cpu_pass* pass, const float* left, const float* right, int64_t count, float* output) noexcept {
  return clipengine::guard([&] {
    share(count, 1, [&](int64_t first, int64_t here) { pass->kernels->multiply(left + first, right + first, output + first, here); });
  });
}

extern "C" clipengine_status clipengine_cpu_gate_tokens(clipengine_cpu_pass* pass, const float* input, int64_t batch, int64_t tokens, int64_t width, const float* gates,
                                                        int32_t activation, float* output) noexcept {
  return clipengine::guard([&] {
    clipengine::cpu::Scratch scratch(pass->arena);
    float* factors = pass->arena.allocate_array<float>(batch * width);
    for (int64_t i = 0; i < batch * width; ++i) factors[i] = 1.0f / (1.0f + std::exp(-gates[i]));
    share(batch * tokens, width, [&](int64_t first, int64_t count) {
      for (int64_t row = first; row < first + count; ++row) {
        pass->kernels->multiply(input + row * width, factors + row / tokens * width, output + row * width, width);
      }
      if (activation != 0) {
        float* rows = output + first * width;
        pass->kernels->activate(rows, rows, count * width, static_cast<clipengine::cpu::Activation>(activation));
      }
    });
  });
}

extern "C" clipengine_status clipengine_cpu_rotate(clipengine_cpu_pass*, const float* input, int64_t stride, int64_t batch, int64_t tokens, int64_t width, int64_t heads,
                                                   const float* cosines, const float* sines, int32_t half_split, float* output) noexcept {
  return clipengine::guard([&] {
    const int64_t head = width / heads, pairs = head / 2, step = half_split != 0 ? 1 : 2, apart = half_split != 0 ? pairs : 1;
    share(batch * tokens, width, [&](int64_t first, int64_t count) {
      for (int64_t row = first; row < first + count; ++row) {
        const float *c = cosines + row % tokens * pairs, *s = sines + row % tokens * pairs;
        for (int64_t h = 0; h < heads; ++h) {
          const float* x = input + row * stride + h * head;
          float* y = output + row * width + h * head;
          for (int64_t i = 0; i < pairs; ++i) {
            const float a = x[i * step], b = x[i * step + apart];
            y[i * step] = a * c[i] - b * s[i];
            y[i * step + apart] = b * c[i] + a * s[i];
          }
        }
      }
    });
  });
}
