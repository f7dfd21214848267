// Every kernel that moves tokens, pixels and feature maps about, in every element type, against an index of its own.
#define CLIPENGINE_CUDA_EMULATOR 1
#include "cuda/kernels/tokens.cu"
#include "emulated.h"

#include <array>
#include <cmath>

using namespace emulated;

namespace {

// One thread an element. Blocks of 64, so that a handful of them run and the last is not full.
template <typename... Parameters>
void run_elements(int64_t total, void (*kernel)(Parameters...), std::type_identity_t<Parameters>... arguments) {
  constexpr unsigned kThreads = 64;
  run({blocks(total, kThreads), 1, 1}, kThreads, 0, kernel, arguments...);
}

template <typename T>
Buffer<T> random_buffer(size_t count) {
  return to_buffer<T>(random_values(count));
}

Buffer<int> indices(const std::vector<int>& values) {
  Buffer<int> buffer(values.size());
  std::copy(values.begin(), values.end(), buffer.data());
  return buffer;
}

template <typename Out>
void check_close(Out found, double expected) {
  CHECK_NEAR(to_float(found), expected, 1e-6 * (1 + std::abs(expected)) + rounding<Out>() * std::abs(expected));
}

struct Window {
  int channels, height, width, kernel_height, kernel_width, stride, padding;
};

template <typename Out, typename Kernel>
void check_unfold(Kernel kernel, const Window& w) {
  const int n = 2, out_height = (w.height + 2 * w.padding - w.kernel_height) / w.stride + 1, out_width = (w.width + 2 * w.padding - w.kernel_width) / w.stride + 1;
  const int depth = w.channels * w.kernel_height * w.kernel_width, padded = (depth + 7) / 8 * 8;
  auto x = random_buffer<float>((size_t)n * w.channels * w.height * w.width);
  Buffer<Out> y((size_t)n * out_height * out_width * padded);
  run_elements((int64_t)y.size(), kernel, x.data(), y.data(), (int64_t)y.size(), w.channels, w.height, w.width, w.kernel_height, w.kernel_width, w.stride, w.padding, out_height, out_width, padded);
  CHECK(y.guards_are_intact());
  size_t at = 0;
  for (int image = 0; image < n; ++image) {
    for (int out_row = 0; out_row < out_height; ++out_row) {
      for (int out_column = 0; out_column < out_width; ++out_column) {
        for (int element = 0; element < padded; ++element) {
          const int channel = element / (w.kernel_height * w.kernel_width), within = element % (w.kernel_height * w.kernel_width);
          const int row = out_row * w.stride - w.padding + within / w.kernel_width, column = out_column * w.stride - w.padding + within % w.kernel_width;
          const bool is_inside = channel < w.channels && row >= 0 && row < w.height && column >= 0 && column < w.width;
          check_close(y[at++], is_inside ? x[((size_t)(image * w.channels + channel) * w.height + row) * w.width + column] : 0.0);
        }
      }
    }
  }
}

template <typename In, typename Kernel>
void check_assemble(Kernel kernel, bool has_first, bool has_positions) {
  const int n = 3, count = 5, width = 7, shifted = has_first ? 1 : 0, out_count = count + shifted;
  auto tokens = random_buffer<In>((size_t)n * count * width);
  auto first = random_buffer<float>((size_t)width), positions = random_buffer<float>((size_t)out_count * width);
  Buffer<float> y((size_t)n * out_count * width);
  run_elements((int64_t)y.size(), kernel, tokens.data(), has_first ? first.data() : nullptr, has_positions ? positions.data() : nullptr, y.data(), (int64_t)y.size(), count, width);
  CHECK(y.guards_are_intact());
  for (int i = 0; i < n; ++i)
    for (int t = 0; t < out_count; ++t)
      for (int c = 0; c < width; ++c) {
        const float token = t < shifted ? first[c] : to_float(tokens[(size_t)(i * count + t - shifted) * width + c]);
        CHECK_EQUAL(y[(size_t)(i * out_count + t) * width + c], token + (has_positions ? positions[(size_t)t * width + c] : 0.0f));
      }
}

template <typename In, typename Take, typename Mean>
void check_take_and_mean(Take take, Mean mean) {
  const int n = 12, count = 5, width = 7, start = 2, taken_count = 3;
  auto x = random_buffer<In>((size_t)n * count * width);
  auto chosen = indices({4, 0, 2, 1, 3, 4, 4, 0, 1, 2, 3, 0});
  Buffer<float> picked((size_t)n * width), slice((size_t)n * taken_count * width), average((size_t)n * width);
  run_elements((int64_t)picked.size(), take, x.data(), chosen.data(), picked.data(), (int64_t)picked.size(), count, 0, 1, width);
  run_elements((int64_t)slice.size(), take, x.data(), nullptr, slice.data(), (int64_t)slice.size(), count, start, taken_count, width);
  run_elements((int64_t)average.size(), mean, x.data(), average.data(), (int64_t)average.size(), count, width);
  CHECK(picked.guards_are_intact() && slice.guards_are_intact() && average.guards_are_intact());
  const auto at = [&](int i, int t, int c) { return to_float(x[(size_t)(i * count + t) * width + c]); };
  for (int i = 0; i < n; ++i)
    for (int c = 0; c < width; ++c) {
      CHECK_EQUAL(picked[(size_t)i * width + c], at(i, chosen[i], c));
      for (int t = 0; t < taken_count; ++t) CHECK_EQUAL(slice[(size_t)(i * taken_count + t) * width + c], at(i, start + t, c));
      double sum = 0;
      for (int t = 0; t < count; ++t) sum += at(i, t, c);
      CHECK_NEAR(average[(size_t)i * width + c], sum / count, 1e-6);
    }
}

template <typename In, typename Out, typename Kernel>
void check_convert(Kernel kernel, int width, int padded) {
  const int rows = 23;
  auto x = random_buffer<In>((size_t)rows * width);
  Buffer<Out> y((size_t)rows * padded);
  run_elements((int64_t)y.size(), kernel, x.data(), y.data(), (int64_t)y.size(), width, padded);
  CHECK(y.guards_are_intact());
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < padded; ++c) check_close(y[(size_t)r * padded + c], c < width ? to_float(x[(size_t)r * width + c]) : 0.0f);
}

}  // namespace

CLIPENGINE_TEST(patches_are_unfolded_in_every_type) {
  for (const Window& window : {Window{3, 9, 7, 3, 3, 2, 1}, {2, 8, 6, 2, 3, 1, 0}, {1, 5, 9, 4, 2, 3, 2}, {3, 12, 12, 4, 4, 4, 0}}) {
    check_unfold<float>(unfold_fp32, window);
    check_unfold<bf16>(unfold_bf16, window);
    check_unfold<fp16>(unfold_fp16, window);
  }
}

CLIPENGINE_TEST(channels_are_folded_with_activation_and_residual) {
  const int n = 3, channels = 5, positions = 11;
  for (bool has_residual : {false, true}) {
    auto x = random_buffer<float>((size_t)n * positions * channels), residual = random_buffer<float>((size_t)n * channels * positions);
    Buffer<float> y(x.size());
    run_elements((int64_t)y.size(), fold_channels, x.data(), y.data(), (int64_t)y.size(), channels, positions, has_residual ? residual.data() : nullptr, kRelu);
    CHECK(y.guards_are_intact());
    for (int i = 0; i < n; ++i)
      for (int c = 0; c < channels; ++c)
        for (int p = 0; p < positions; ++p) {
          const size_t index = (size_t)(i * channels + c) * positions + p;
          CHECK_EQUAL(y[index], std::max(0.0f, x[(size_t)(i * positions + p) * channels + c] + (has_residual ? residual[index] : 0.0f)));
        }
  }
}

CLIPENGINE_TEST(tokens_are_assembled_in_every_type) {
  for (bool has_first : {false, true})
    for (bool has_positions : {false, true}) {
      check_assemble<float>(assemble_tokens_fp32, has_first, has_positions);
      check_assemble<bf16>(assemble_tokens_bf16, has_first, has_positions);
      check_assemble<fp16>(assemble_tokens_fp16, has_first, has_positions);
    }
}

CLIPENGINE_TEST(tokens_are_taken_and_averaged_in_every_type) {
  check_take_and_mean<float>(take_tokens_fp32, mean_tokens_fp32);
  check_take_and_mean<bf16>(take_tokens_bf16, mean_tokens_bf16);
  check_take_and_mean<fp16>(take_tokens_fp16, mean_tokens_fp16);
}

CLIPENGINE_TEST(ids_are_looked_up_and_a_token_appended) {
  const int n = 3, count = 4, width = 6, vocabulary = 9;
  auto table = random_buffer<float>((size_t)vocabulary * width), appended = random_buffer<float>((size_t)width);
  auto ids = indices({8, 0, 3, 3, 1, 2, 7, 5, 4, 6, 8, 8});
  for (bool has_appended : {false, true}) {
    const int out_count = count + has_appended;
    auto positions = random_buffer<float>((size_t)out_count * width);
    Buffer<float> y((size_t)n * out_count * width);
    run_elements((int64_t)y.size(), token_embedding, ids.data(), table.data(), has_appended ? appended.data() : nullptr, positions.data(), y.data(), (int64_t)y.size(), count, width);
    CHECK(y.guards_are_intact());
    for (int i = 0; i < n; ++i)
      for (int t = 0; t < out_count; ++t)
        for (int c = 0; c < width; ++c)
          CHECK_EQUAL(y[(size_t)(i * out_count + t) * width + c], (t == count ? appended[c] : table[(size_t)ids[i * count + t] * width + c]) + positions[(size_t)t * width + c]);
  }
}

CLIPENGINE_TEST(maps_are_gated_channel_by_channel) {
  const int n = 3, count = 5, width = 7;
  auto x = random_buffer<float>((size_t)n * count * width), gates = random_buffer<float>((size_t)n * width);
  for (int activation : {kNone, kRelu}) {
    Buffer<float> y(x.size());
    run_elements((int64_t)y.size(), gate_tokens, x.data(), gates.data(), y.data(), (int64_t)y.size(), count, width, activation);
    CHECK(y.guards_are_intact());
    for (int i = 0; i < n; ++i)
      for (int t = 0; t < count; ++t)
        for (int c = 0; c < width; ++c) {
          const double gated = x[(size_t)(i * count + t) * width + c] / (1 + std::exp(-(double)gates[(size_t)i * width + c]));
          CHECK_NEAR(y[(size_t)(i * count + t) * width + c], activation == kRelu ? std::max(0.0, gated) : gated, 1e-6);
        }
  }
}

CLIPENGINE_TEST(maps_are_pooled_and_turned) {
  const int n = 3, channels = 4, height = 7, width = 11;
  auto x = random_buffer<float>((size_t)n * channels * height * width);
  const auto at = [&](int i, int c, int row, int column) { return x[((size_t)(i * channels + c) * height + row) * width + column]; };
  for (const auto& [size, stride, padding] : {std::array{2, 2, 0}, std::array{3, 3, 0}, std::array{3, 2, 1}, std::array{4, 3, 2}}) {
    const int out_height = (height + 2 * padding - size) / stride + 1, out_width = (width + 2 * padding - size) / stride + 1;
    Buffer<float> pooled((size_t)n * channels * out_height * out_width);
    run_elements((int64_t)pooled.size(), average_pool, x.data(), pooled.data(), (int64_t)pooled.size(), height, width, size, stride, padding, out_height, out_width);
    CHECK(pooled.guards_are_intact());
    for (size_t index = 0; index < pooled.size(); ++index) {
      const int column = (int)(index % out_width), row = (int)(index / out_width % out_height), c = (int)(index / out_width / out_height % channels);
      const int i = (int)(index / out_width / out_height / channels);
      double sum = 0, count = 0;
      for (int r = row * stride - padding; r < row * stride - padding + size; ++r)
        for (int k = column * stride - padding; k < column * stride - padding + size; ++k) {
          if (r < 0 || r >= height || k < 0 || k >= width) continue;
          sum += at(i, c, r, k);
          ++count;
        }
      CHECK_NEAR(pooled[index], sum / count, 1e-6);
    }
  }
  Buffer<float> turned(x.size());
  run_elements((int64_t)turned.size(), map_to_tokens, x.data(), turned.data(), (int64_t)turned.size(), channels, height * width);
  CHECK(turned.guards_are_intact());
  for (int i = 0; i < n; ++i)
    for (int c = 0; c < channels; ++c)
      for (int p = 0; p < height * width; ++p) CHECK_EQUAL(turned[(size_t)(i * height * width + p) * channels + c], at(i, c, p / width, p % width));
}

CLIPENGINE_TEST(rows_are_converted_and_padded_in_every_type) {
  for (auto [width, padded] : {std::array{3, 8}, {8, 8}, {13, 16}, {1, 8}}) {
    check_convert<float, float>(convert_rows_fp32, width, padded);
    check_convert<float, bf16>(convert_rows_fp32_bf16, width, padded);
    check_convert<float, fp16>(convert_rows_fp32_fp16, width, padded);
    check_convert<bf16, float>(convert_rows_bf16_fp32, width, padded);
    check_convert<fp16, float>(convert_rows_fp16_fp32, width, padded);
  }
}

CLIPENGINE_TEST(tokens_are_joined_added_repeated_and_activated) {
  const int n = 5, first_count = 2, second_count = 3, width = 7, count = first_count + second_count;
  auto first = random_buffer<float>((size_t)n * first_count * width), second = random_buffer<float>((size_t)n * second_count * width);
  Buffer<float> joined((size_t)n * count * width);
  run_elements((int64_t)joined.size(), concatenate_tokens_fp32, first.data(), second.data(), joined.data(), (int64_t)joined.size(), first_count, second_count, width);
  CHECK(joined.guards_are_intact());
  for (int i = 0; i < n; ++i)
    for (int t = 0; t < count; ++t)
      for (int c = 0; c < width; ++c)
        CHECK_EQUAL(joined[(size_t)(i * count + t) * width + c],
                    t < first_count ? first[(size_t)(i * first_count + t) * width + c] : second[(size_t)(i * second_count + t - first_count) * width + c]);

  const size_t total = 204;  // ends where the page ends
  auto a = random_buffer<float>(total), b = random_buffer<float>(total), period = random_buffer<float>(41);
  Buffer<float> sum(total), repeated(total), activated(total);
  run_elements((int64_t)total, add_fp32, a.data(), b.data(), sum.data(), (int64_t)total);
  run_elements((int64_t)total, broadcast, period.data(), repeated.data(), (int64_t)total, 41);
  run_elements((int64_t)total, activate_fp32, a.data(), activated.data(), (int64_t)total, kQuickGelu);
  CHECK(sum.guards_are_intact() && repeated.guards_are_intact() && activated.guards_are_intact());
  for (size_t i = 0; i < total; ++i) {
    CHECK_EQUAL(sum[i], a[i] + b[i]);
    CHECK_EQUAL(repeated[i], period[i % 41]);
    CHECK_NEAR(activated[i], a[i] / (1 + std::exp(-1.702 * a[i])), 2e-6 * (1 + std::abs(a[i])));
  }
}

template <typename T, typename Kernel>
void check_store(Kernel kernel) {
  const int n = 3, count = 2, width = 5, row = 12, start = 4, capacity = 6, position = 3;
  auto x = random_buffer<T>((size_t)n * count * row);
  auto sources = indices({2, 0, 0});
  for (const bool has_sources : {false, true}) {
    Buffer<T> stored((size_t)n * capacity * width);
    run_elements((int64_t)n * count * width, kernel, x.data(), has_sources ? sources.data() : nullptr, stored.data(), (int64_t)n * count * width, count, row, start, width, capacity, position);
    CHECK(stored.guards_are_intact());
    for (int i = 0; i < n; ++i)
      for (int t = 0; t < count; ++t)
        for (int c = 0; c < width; ++c)
          CHECK_EQUAL(to_float(stored[(size_t)(i * capacity + position + t) * width + c]), to_float(x[(size_t)((has_sources ? sources[i] : i) * count + t) * row + start + c]));
  }
}

CLIPENGINE_TEST(tokens_are_stored_behind_others_in_every_type) {
  check_store<float>(store_tokens_fp32);
  check_store<bf16>(store_tokens_bf16);
  check_store<fp16>(store_tokens_fp16);
}

template <typename T, typename Kernel>
void check_rotation(Kernel kernel) {
  const int n = 2, count = 3, heads = 2, head_width = 6, width = heads * head_width, row = width + 5, start = 2, pairs = head_width / 2;
  auto x = random_buffer<T>((size_t)n * count * row);
  auto cosines = random_buffer<float>((size_t)count * pairs), sines = random_buffer<float>((size_t)count * pairs);
  for (const int is_half_split : {0, 1}) {
    Buffer<float> turned((size_t)n * count * width);
    const int64_t total = (int64_t)n * count * heads * pairs;
    run_elements(total, kernel, x.data(), cosines.data(), sines.data(), turned.data(), total, count, row, start, width, head_width, is_half_split);
    CHECK(turned.guards_are_intact());
    for (int line = 0; line < n * count; ++line)
      for (int head = 0; head < heads; ++head)
        for (int pair = 0; pair < pairs; ++pair) {
          const int first = head * head_width + (is_half_split ? pair : 2 * pair), second = is_half_split ? first + pairs : first + 1;
          const double angle_cosine = cosines[(size_t)(line % count) * pairs + pair], angle_sine = sines[(size_t)(line % count) * pairs + pair];
          const double a = to_float(x[(size_t)line * row + start + first]), b = to_float(x[(size_t)line * row + start + second]);
          CHECK_NEAR(turned[(size_t)line * width + first], a * angle_cosine - b * angle_sine, 1e-6);
          CHECK_NEAR(turned[(size_t)line * width + second], b * angle_cosine + a * angle_sine, 1e-6);
        }
  }
}

CLIPENGINE_TEST(pairs_of_channels_are_turned_in_every_type) {
  check_rotation<float>(rotate_fp32);
  check_rotation<bf16>(rotate_bf16);
  check_rotation<fp16>(rotate_fp16);
}

CLIPENGINE_TEST(elements_are_multiplied) {
  const size_t total = 204;
  auto x = random_buffer<float>(total), factor = random_buffer<float>(total), residual = random_buffer<float>(total);
  for (const bool has_residual : {false, true}) {
    Buffer<float> product(total);
    run_elements((int64_t)total, multiply_fp32, x.data(), factor.data(), has_residual ? residual.data() : nullptr, product.data(), (int64_t)total);
    CHECK(product.guards_are_intact());
    for (size_t i = 0; i < total; ++i) CHECK_NEAR(product[i], (double)x[i] * factor[i] + (has_residual ? residual[i] : 0), 1e-6);
  }
}

CLIPENGINE_TEST(channels_are_convolved_one_by_one) {
  const int n = 2, channels = 3, outputs = 6, height = 5, width = 4, kernel_height = 3, kernel_width = 2, stride = 2, padding = 1;
  const int out_height = (height + 2 * padding - kernel_height) / stride + 1, out_width = (width + 2 * padding - kernel_width) / stride + 1;
  const size_t total = (size_t)n * outputs * out_height * out_width;
  auto x = random_buffer<float>((size_t)n * channels * height * width), kernel = random_buffer<float>((size_t)outputs * kernel_height * kernel_width);
  auto bias = random_buffer<float>(outputs), residual = random_buffer<float>(total);
  for (const bool has_both : {false, true}) {
    Buffer<float> y(total);
    run_elements((int64_t)total, depthwise_convolution, x.data(), kernel.data(), has_both ? bias.data() : nullptr, has_both ? residual.data() : nullptr, y.data(), (int64_t)total, channels,
                 outputs, height, width, kernel_height, kernel_width, stride, padding, out_height, out_width, (int)kNone);
    CHECK(y.guards_are_intact());
    size_t at = 0;
    for (int i = 0; i < n; ++i)
      for (int out = 0; out < outputs; ++out)
        for (int row = 0; row < out_height; ++row)
          for (int column = 0; column < out_width; ++column, ++at) {
            double sum = has_both ? (double)bias[out] + residual[at] : 0;
            for (int r = 0; r < kernel_height; ++r)
              for (int c = 0; c < kernel_width; ++c) {
                const int top = row * stride - padding + r, left = column * stride - padding + c;
                if (top >= 0 && top < height && left >= 0 && left < width)
                  sum += (double)kernel[(size_t)(out * kernel_height + r) * kernel_width + c] * x[(size_t)((i * channels + out / 2) * height + top) * width + left];
              }
            CHECK_NEAR(y[at], sum, 1e-5);
          }
  }
}

CLIPENGINE_TEST_MAIN()
