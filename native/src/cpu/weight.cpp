#include "cpu/weight.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "clipengine_cpu.h"
#include "core/half.h"
#include "core/status.h"
#include "core/thread_pool.h"
#include "cpu/isa.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <cerrno>
#include <unistd.h>
#endif

namespace clipengine::cpu {
namespace {

template <typename Stored, typename Convert>
void convert(const void* data, int64_t first, int64_t count, float* output, const Convert& one) {
  const char* bytes = static_cast<const char*>(data) + first * static_cast<int64_t>(sizeof(Stored));
  for (int64_t i = 0; i < count; ++i) {
    Stored stored;
    std::memcpy(&stored, bytes + i * static_cast<int64_t>(sizeof(Stored)), sizeof stored);
    output[i] = one(stored);
  }
}

// Four channels' words side by side: in [4][input_stride], out [4][output_stride]. The compiler does not find this by itself, and a
// load of a large model is a second of it.
inline void transpose_4x4(const float* in, int64_t input_stride, float* out, int64_t output_stride) {
  typedef float Quad __attribute__((vector_size(16)));
  Quad a, b, c, d;
  std::memcpy(&a, in, sizeof a);
  std::memcpy(&b, in + input_stride, sizeof b);
  std::memcpy(&c, in + 2 * input_stride, sizeof c);
  std::memcpy(&d, in + 3 * input_stride, sizeof d);
  const Quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Quad columns[4] = {__builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5), __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
                           __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5), __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
  for (int i = 0; i < 4; ++i) std::memcpy(out + i * output_stride, &columns[i], sizeof columns[i]);
}

// [here][depth] to [depth][width], the missing channels zero.
void transpose_panel(const float* rows, int64_t here, int64_t depth, int64_t width, float* out) {
  for (int64_t from = 0; from < depth; from += kLine) {  // a cache line of every channel at a time
    const int64_t to = std::min(depth, from + kLine), quads = (to - from) / 4 * 4;
    int64_t c = 0;
    for (; c + 4 <= here; c += 4) {
      for (int64_t k = from; k < from + quads; k += 4) transpose_4x4(rows + c * depth + k, depth, out + k * width + c, width);
      for (int64_t k = from + quads; k < to; ++k) {
        for (int64_t i = c; i < c + 4; ++i) out[k * width + i] = rows[i * depth + k];
      }
    }
    for (int64_t k = from; k < to; ++k) {
      for (int64_t i = c; i < width; ++i) out[k * width + i] = i < here ? rows[i * depth + k] : 0;
    }
  }
}

// One panel: channels [channel, channel + here) of a matrix as [words, panel_columns].
struct PanelPacker {
  Elements& elements;
  int64_t columns, depth;  // of the whole matrix as stored
  bool transposed;
  Weight& weight;

  void pack(int64_t panel, float* rows, std::vector<char>& scratch) const {
    const int64_t width = weight.kernels->panel_columns, channel = panel * width, here = std::min(width, columns - channel);
    // As [depth][width] where transposed, as [here][depth] else.
    if (transposed) {
      for (int64_t k = 0; k < depth; ++k) elements.read(k * columns + channel, here, rows + k * width, scratch);
    } else {
      elements.read(channel * depth, here * depth, rows, scratch);
    }
    const auto at = [&](int64_t c, int64_t k) { return transposed ? rows[k * width + c] : rows[c * depth + k]; };
    const int64_t words = weight.depth_words;
    const bool word_pairs = weight.kernels->word_pairs;
    const auto place = [&](int64_t word, int64_t c) { return word_pairs ? word / 2 * 2 * width + 2 * c + word % 2 : word * width + c; };
    switch (weight.precision) {
      case Precision::Float32: {
        float* out = weight.data.as<float>() + panel * words * width;
        if (transposed) {
          for (int64_t k = 0; k < depth; ++k) {
            std::memcpy(out + k * width, rows + k * width, static_cast<size_t>(here) * sizeof(float));
            std::fill(out + k * width + here, out + (k + 1) * width, 0.0f);
          }
        } else {
          transpose_panel(rows, here, depth, width, out);
        }
        break;
      }
      case Precision::Float16:
      case Precision::BFloat16: {
        const bool half = weight.precision == Precision::Float16;
        const int64_t per_word = !half && weight.kernels->bf16_pairs ? 2 : 1;
        uint16_t* out = weight.data.as<uint16_t>() + panel * words * per_word * width;
        for (int64_t k = 0; k < words * per_word; ++k) {
          for (int64_t c = 0; c < width; ++c) {
            const float value = c < here && k < depth ? at(c, k) : 0.0f;
            const int64_t at_word = per_word == 2 ? place(k / 2, c) : k * width + c;
            out[at_word * per_word + k % per_word] = half ? float_to_half(value) : float_to_bf16(value);
          }
        }
        break;
      }
      case Precision::Int8: {
        int8_t* out = weight.data.as<int8_t>() + panel * words * width * 4;
        for (int64_t c = 0; c < width; ++c) {
          float peak = 0;
          for (int64_t k = 0; c < here && k < depth; ++k) peak = std::max(peak, std::abs(at(c, k)));
          const float inverse = peak > 0 ? 127.0f / peak : 0.0f;
          int32_t sum = 0;
          for (int64_t k = 0; k < words * 4; ++k) {
            const float scaled = c < here && k < depth ? std::nearbyintf(at(c, k) * inverse) : 0.0f;
            const int8_t byte = static_cast<int8_t>(std::clamp(scaled, -127.0f, 127.0f));
            out[place(k / 4, c) * 4 + k % 4] = byte;
            sum += byte;
          }
          weight.column_scales.as<float>()[panel * width + c] = peak / 127.0f;
          weight.column_sums.as<int32_t>()[panel * width + c] = 128 * sum;
        }
        break;
      }
    }
  }
};

// Reads all of it, or throws.
void read_exactly(int64_t file, int64_t start, char* output, int64_t bytes) {
  constexpr int64_t kMost = int64_t{1} << 30;
  while (bytes > 0) {
    const int64_t wanted = std::min(bytes, kMost);
#if defined(_WIN32)
    OVERLAPPED place{};
    place.Offset = static_cast<DWORD>(start);
    place.OffsetHigh = static_cast<DWORD>(start >> 32);
    DWORD count = 0;
    if (ReadFile(reinterpret_cast<HANDLE>(file), output, static_cast<DWORD>(wanted), &count, &place) == 0) {
      const DWORD code = GetLastError();
      throw ReadFailure{code == ERROR_HANDLE_EOF ? 0 : static_cast<int64_t>(code)};
    }
#else
    const ssize_t count = pread(static_cast<int>(file), output, static_cast<size_t>(wanted), static_cast<off_t>(start));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw ReadFailure{errno};
#endif
    if (count == 0) throw ReadFailure{0};
    output += count;
    start += count;
    bytes -= count;
  }
}

template <typename T, T mask>
uint32_t largest_of(const char* bytes, int64_t count) {
  T largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, bytes + i * static_cast<int64_t>(sizeof(T)), sizeof value);
    largest = std::max(largest, static_cast<T>(value & mask));
  }
  return static_cast<uint32_t>(largest);
}

}  // namespace

Elements::Elements(int64_t file, int64_t start, int32_t type) : type_(type), file_(file), start_(start) {
  if (type != CLIPENGINE_FLOAT32 && type != CLIPENGINE_FLOAT16 && type != CLIPENGINE_BFLOAT16) throw Error(CLIPENGINE_UNSUPPORTED, "elements in a file must be fp16, bf16 or fp32");
}

void Elements::read(int64_t first, int64_t count, float* output, std::vector<char>& scratch) {
  if (data_ != nullptr) {
    convert_to_float(data_, type_, first, count, output);
    return;
  }
  const int64_t size = type_ == CLIPENGINE_FLOAT32 ? 4 : 2;
  char* bytes = reinterpret_cast<char*>(output);
  if (size == 2) {
    scratch.resize(std::max(scratch.size(), static_cast<size_t>(count * size)));
    bytes = scratch.data();
  }
  read_exactly(file_, start_ + first * size, bytes, count * size);
  // Signed, as the widest of all processors' vectors compare.
  const uint32_t found = size == 4 ? largest_of<int32_t, 0x7fffffff>(bytes, count) : largest_of<int16_t, 0x7fff>(bytes, count);
  uint32_t known = largest_.load(std::memory_order_relaxed);
  while (known < found && !largest_.compare_exchange_weak(known, found)) {
  }
  if (size == 2) convert_to_float(bytes, type_, 0, count, output);
}

void convert_to_float(const void* data, int32_t type, int64_t first, int64_t count, float* output) {
  switch (type) {
    case CLIPENGINE_FLOAT32:
      std::memcpy(output, static_cast<const char*>(data) + first * 4, static_cast<size_t>(count) * 4);
      break;
    case CLIPENGINE_FLOAT16: convert<uint16_t>(data, first, count, output, half_to_float); break;
    case CLIPENGINE_BFLOAT16: convert<uint16_t>(data, first, count, output, bf16_to_float); break;
    case CLIPENGINE_FLOAT64: convert<double>(data, first, count, output, [](double stored) { return static_cast<float>(stored); }); break;
    default: throw Error(CLIPENGINE_UNSUPPORTED, "a weight's elements must be fp16, bf16, fp32 or fp64");
  }
}

Weight* create_matrix(Elements& elements, int64_t columns, int64_t depth, bool transposed, Precision precision, const Kernels& kernels) {
  if (columns < 1 || depth < 1) throw Error(CLIPENGINE_INVALID_ARGUMENT, "a matrix needs at least one column and one row");
  auto weight = std::make_unique<Weight>();
  weight->kernels = &kernels;
  weight->precision = precision;
  weight->columns = columns;
  weight->depth = depth;
  const int64_t per_word = precision == Precision::Int8 ? 4 : (precision == Precision::BFloat16 && kernels.bf16_pairs ? 2 : 1);
  weight->depth_words = divide_up(depth, per_word);
  if (per_word > 1 && kernels.word_pairs) weight->depth_words = round_up(weight->depth_words, 2);
  if (on_matrix_tiles(kernels, precision)) weight->depth_words = round_up(weight->depth_words, kLine);
  const int64_t panels = weight->panels(), channels = panels * kernels.panel_columns;
  const bool sixteen = precision == Precision::Float16 || (precision == Precision::BFloat16 && !kernels.bf16_pairs);
  weight->data = Buffer(channels * weight->depth_words * (sixteen ? 2 : 4));
  if (precision == Precision::Int8) {
    weight->column_scales = Buffer(channels * 4);
    weight->column_sums = Buffer(channels * 4);
  }
  const PanelPacker packer{elements, columns, depth, transposed, *weight};
  const int64_t chunks = std::min<int64_t>(panels, 64);
  struct Scratch {
    std::unique_ptr<float[]> rows;
    std::vector<char> bytes;
  };
  std::vector<Scratch> scratch(static_cast<size_t>(ThreadPool::instance().size()));
  parallel_for(
      chunks,
      [&](int64_t chunk, int worker) {
        Scratch& own = scratch[static_cast<size_t>(worker)];
        if (own.rows == nullptr) own.rows.reset(new float[static_cast<size_t>(kernels.panel_columns * depth)]);
        for (int64_t panel = panels * chunk / chunks; panel < panels * (chunk + 1) / chunks; ++panel) packer.pack(panel, own.rows.get(), own.bytes);
      },
      static_cast<int>(scratch.size()));
  return weight.release();
}

}  // namespace clipengine::cpu

namespace clipengine::cpu {
namespace {

Precision precision_of(int32_t compute_type) {
  switch (compute_type) {
    case CLIPENGINE_FLOAT32: return Precision::Float32;
    case CLIPENGINE_BFLOAT16: return Precision::BFloat16;
    case CLIPENGINE_FLOAT16: return Precision::Float16;
    case CLIPENGINE_INT8: return Precision::Int8;
    default: throw Error(CLIPENGINE_UNSUPPORTED, "the CPU computes in fp32, bf16, fp16 (weights) and int8");
  }
}

Weight* create_values(Elements& elements, int64_t count) {
  auto made = std::make_unique<Weight>();
  made->columns = count;
  made->data = Buffer(count * 4);
  constexpr int64_t kChunk = 1 << 18;
  std::vector<std::vector<char>> scratch(static_cast<size_t>(ThreadPool::instance().size()));
  parallel_for(
      divide_up(count, kChunk),
      [&](int64_t chunk, int worker) {
        const int64_t first = chunk * kChunk;
        elements.read(first, std::min(kChunk, count - first), made->data.as<float>() + first, scratch[static_cast<size_t>(worker)]);
      },
      static_cast<int>(scratch.size()));
  return made.release();
}

// What reading a file ends with; other errors become a status as everywhere.
template <typename Body>
clipengine_status from_file(clipengine_cpu_read* read, const Body& body) {
  return guard([&] {
    Elements elements(read->file, read->start, read->type);
    try {
      body(elements);
      read->largest = elements.largest();
    } catch (const ReadFailure& failure) {
      read->error = failure.code;
      throw Error(CLIPENGINE_BAD_INPUT, failure.code == 0 ? "the file has ended" : "the file could not be read");
    }
  });
}

}  // namespace
}  // namespace clipengine::cpu

extern "C" clipengine_status clipengine_cpu_matrix_create(const void* data, int32_t type, int64_t columns, int64_t depth, int32_t transposed,
                                                          int32_t compute_type, int32_t isa, clipengine_cpu_weight** weight) noexcept {
  using namespace clipengine::cpu;
  return clipengine::guard([&] {
    Elements elements(data, type);
    *weight = create_matrix(elements, columns, depth, transposed != 0, precision_of(compute_type), kernels_of(isa));
  });
}

extern "C" clipengine_status clipengine_cpu_matrix_read(clipengine_cpu_read* read, int64_t columns, int64_t depth, int32_t compute_type, int32_t isa,
                                                        clipengine_cpu_weight** weight) noexcept {
  using namespace clipengine::cpu;
  return from_file(read, [&](Elements& elements) { *weight = create_matrix(elements, columns, depth, false, precision_of(compute_type), kernels_of(isa)); });
}

extern "C" clipengine_status clipengine_cpu_values_create(const void* data, int32_t type, int64_t count, clipengine_cpu_weight** weight) noexcept {
  using namespace clipengine::cpu;
  return clipengine::guard([&] {
    Elements elements(data, type);
    *weight = create_values(elements, count);
  });
}

extern "C" clipengine_status clipengine_cpu_values_read(clipengine_cpu_read* read, int64_t count, clipengine_cpu_weight** weight) noexcept {
  using namespace clipengine::cpu;
  return from_file(read, [&](Elements& elements) { *weight = create_values(elements, count); });
}

extern "C" void clipengine_cpu_weight_destroy(clipengine_cpu_weight* weight) noexcept { delete weight; }

extern "C" int64_t clipengine_cpu_weight_bytes(const clipengine_cpu_weight* weight) noexcept { return weight->bytes(); }

extern "C" const float* clipengine_cpu_weight_values(const clipengine_cpu_weight* weight) noexcept { return weight->kernels == nullptr ? weight->values() : nullptr; }
