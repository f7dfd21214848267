// Operations that move tokens: bound by memory, plain loops.
#include <algorithm>
#include <cstring>
#include <string>

#include "clipengine_cpu.h"
#include "core/status.h"
#include "core/thread_pool.h"
#include "cpu/pass.h"
#include "cpu/weight.h"

namespace {

void copy_row(const float* input, int64_t width, float* output) { std::memcpy(output, input, static_cast<size_t>(width) * sizeof(float)); }

void add_row(const float* left, const float* right, int64_t width, float* output) {
  for (int64_t i = 0; i < width; ++i) output[i] = left[i] + right[i];
}

// output = row + positions[t], or row where there are no positions.
void place(const float* row, const float* positions, int64_t t, int64_t width, float* output) {
  if (positions == nullptr) {
    copy_row(row, width, output);
  } else {
    add_row(row, positions + t * width, width, output);
  }
}

}  // namespace

extern "C" clipengine_status clipengine_cpu_assemble_tokens(clipengine_cpu_pass*, const float* tokens, int64_t batch, int64_t count, int64_t width,
                                                            const clipengine_cpu_weight* first, const clipengine_cpu_weight* positions, float* output) noexcept {
  return clipengine::guard([&] {
    const float* added = clipengine::cpu::values_of(positions);
    for (int64_t n = 0; n < batch; ++n) {
      int64_t t = 0;
      if (first != nullptr) {
        place(first->values(), added, t++, width, output);
        output += width;
      }
      for (int64_t i = 0; i < count; ++i, output += width) place(tokens + (n * count + i) * width, added, t++, width, output);
    }
  });
}

extern "C" clipengine_status clipengine_cpu_token_embedding(clipengine_cpu_pass*, const int32_t* ids, int64_t batch, int64_t count, int64_t rows, int64_t width,
                                                            const clipengine_cpu_weight* table, const clipengine_cpu_weight* appended, const float* positions, float* output) noexcept {
  return clipengine::guard([&] {
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t t = 0; t < count; ++t, output += width) {
        const int32_t id = ids[n * count + t];
        if (id < 0 || id >= rows) {
          throw clipengine::Error(CLIPENGINE_INVALID_ARGUMENT, "token id " + std::to_string(id) + " at position " + std::to_string(t) + " of sequence " + std::to_string(n) +
                                                                   " lies outside the table of " + std::to_string(rows) + " rows");
        }
        place(table->values() + id * width, positions, t, width, output);
      }
      if (appended != nullptr) {
        place(appended->values(), positions, count, width, output);
        output += width;
      }
    }
  });
}

extern "C" clipengine_status clipengine_cpu_select_tokens(clipengine_cpu_pass*, const float* tokens, int64_t batch, int64_t count, int64_t width,
                                                          const int32_t* indices, float* output) noexcept {
  return clipengine::guard([&] {
    for (int64_t n = 0; n < batch; ++n) {
      if (indices[n] < 0 || indices[n] >= count) {
        throw clipengine::Error(CLIPENGINE_INVALID_ARGUMENT,
                                "index " + std::to_string(indices[n]) + " of sequence " + std::to_string(n) + " lies outside its " + std::to_string(count) + " tokens");
      }
      copy_row(tokens + (n * count + indices[n]) * width, width, output + n * width);
    }
  });
}

extern "C" clipengine_status clipengine_cpu_mean_tokens(clipengine_cpu_pass*, const float* tokens, int64_t batch, int64_t count, int64_t width, float* output) noexcept {
  return clipengine::guard([&] {
    clipengine::parallel_for(batch, [&](int64_t n, int) {
      float* sum = output + n * width;
      copy_row(tokens + n * count * width, width, sum);
      for (int64_t t = 1; t < count; ++t) add_row(sum, tokens + (n * count + t) * width, width, sum);
      for (int64_t i = 0; i < width; ++i) sum[i] /= static_cast<float>(count);
    });
  });
}

extern "C" clipengine_status clipengine_cpu_copy_runs(clipengine_cpu_pass*, const float* input, int64_t input_stride, float* output, int64_t output_stride,
                                                      int64_t length, int64_t batch) noexcept {
  return clipengine::guard([&] {
    for (int64_t n = 0; n < batch; ++n) copy_row(input + n * input_stride, length, output + n * output_stride);
  });
}

extern "C" clipengine_status clipengine_cpu_transpose(clipengine_cpu_pass*, const float* input, int64_t batch, int64_t rows, int64_t columns, float* output) noexcept {
  return clipengine::guard([&] {
    constexpr int64_t kBlock = 16, kTogether = 32768;
    const int64_t blocks = clipengine::cpu::divide_up(rows, kBlock), blocks_each = std::max<int64_t>(1, kTogether / (kBlock * std::max<int64_t>(1, columns)));
    const int64_t chunks = clipengine::cpu::divide_up(blocks, blocks_each);
    clipengine::parallel_for(batch * chunks, [&](int64_t chunk, int) {
      const int64_t n = chunk / chunks, first = chunk % chunks * blocks_each * kBlock, last = std::min(rows, first + blocks_each * kBlock);
      const float* from = input + n * rows * columns;
      float* to = output + n * rows * columns;
      for (int64_t r = first; r < last; r += kBlock) {
        for (int64_t c = 0; c < columns; ++c) {
          for (int64_t i = r; i < std::min(last, r + kBlock); ++i) to[c * rows + i] = from[i * columns + c];
        }
      }
    });
  });
}
