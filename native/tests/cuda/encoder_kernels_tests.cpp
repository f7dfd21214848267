// Every encoder kernel in the emulator against a double-precision reference, over odd sizes, inside canaries.
#define CLIPENGINE_CUDA_EMULATOR 1
#include "cuda/kernels/attention.cu"
#include "cuda/kernels/layer_norm.cu"
#include "cuda/kernels/matrix_product.cu"
#include "cuda/kernels/tokens.cu"
#include "emulated.h"

using namespace emulated;

namespace {

double reference_activation(double x, int activation) {
  switch (activation) {
    case kGelu: return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case kGeluTanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case kQuickGelu: return x / (1 + std::exp(-1.702 * x));
    case kRelu: return x > 0 ? x : 0;
    case kSilu: return x / (1 + std::exp(-x));
    default: return x;
  }
}

// Relative error of one rounding to the element type.
template <typename T>
double rounding();
template <>
double rounding<float>() { return 1.0 / (1 << 24); }
template <>
double rounding<bf16>() { return 1.0 / (1 << 8); }
template <>
double rounding<fp16>() { return 1.0 / (1 << 11); }

template <typename T, typename Out, typename Kernel>
void check_product(Kernel kernel, int rows, int columns, int depth, int tile_rows, int tile_columns, size_t shared, int activation, bool has_extras) {
  auto x = to_buffer<T>(random_values((size_t)rows * depth));
  auto w = to_buffer<T>(random_values((size_t)columns * depth, 1.0f / std::sqrt((float)depth)));
  auto bias = to_buffer<float>(random_values((size_t)columns)), scale = to_buffer<float>(random_values((size_t)columns));
  auto residual = to_buffer<float>(random_values((size_t)rows * columns));
  Buffer<Out> y((size_t)rows * columns);
  run({blocks(columns, tile_columns), blocks(rows, tile_rows), 1}, kProductThreads, shared, [&] {
    kernel(x.data(), w.data(), y.data(), rows, columns, depth, has_extras ? bias.data() : nullptr, has_extras ? scale.data() : nullptr,
           has_extras ? residual.data() : nullptr, activation);
  });
  CHECK(y.guards_are_intact());
  const auto xs = rounded(x), ws = rounded(w);
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      double sum = 0, magnitude_sum = 1;
      for (int k = 0; k < depth; ++k) {
        sum += xs[(size_t)r * depth + k] * ws[(size_t)c * depth + k];
        magnitude_sum += std::abs(xs[(size_t)r * depth + k] * ws[(size_t)c * depth + k]);
      }
      if (has_extras) sum += bias[c];
      sum = reference_activation(sum, activation);
      if (has_extras) sum = sum * scale[c] + residual[(size_t)r * columns + c];
      // Depth roundings of fp32 sums, the polynomial's 1e-6, one rounding of the result.
      CHECK_NEAR(to_float(y[(size_t)r * columns + c]), sum, 4e-6 * magnitude_sum + rounding<Out>() * std::abs(sum));
    }
  }
}

template <typename T, typename Kernel>
void check_attention(Kernel kernel, int batch, int heads, int head_width, int queries, int keys, bool is_causal, bool has_mask, bool is_packed) {
  const int width = heads * head_width, padded = head_width <= 32 ? 32 : head_width <= 64 ? 64 : (head_width + 15) / 16 * 16;
  const bool is_plain = sizeof(T) == 4;
  auto q = to_buffer<T>(random_values((size_t)batch * queries * width * 3, 2.0f));
  auto kv = to_buffer<T>(random_values((size_t)batch * keys * width * 3, 2.0f));
  std::vector<float> mask_values((size_t)batch * queries * keys);
  for (size_t i = 0; i < mask_values.size(); ++i) mask_values[i] = i % 5 == 3 ? -INFINITY : 0.1f * (float)(i % 7);
  if (has_mask) std::fill(mask_values.begin(), mask_values.begin() + keys, -INFINITY);  // the first query sees nothing
  auto mask = to_buffer<float>(mask_values);
  // Packed: q, k and v are thirds of one row, as one fused projection leaves them (then queries are keys).
  const int64_t row = is_packed ? 3 * width : width;
  T* source = is_packed ? kv.data() : q.data();
  const T *k_data = is_packed ? kv.data() + width : kv.data(), *v_data = is_packed ? kv.data() + 2 * width : kv.data() + (size_t)batch * keys * width;
  const int q_count = is_packed ? keys : queries;
  Buffer<T> y((size_t)batch * q_count * width);
  run({is_plain ? blocks(q_count, 4) : blocks(q_count, kQueryTile), (unsigned)heads, (unsigned)batch}, kAttentionThreads,
      is_plain ? 0 : 3u * 64 * (padded + 8) * 2, [&] {
        kernel(source, k_data, v_data, y.data(), row, row * q_count, row, row * keys, row, row * keys, heads, head_width, q_count, keys, is_causal,
               has_mask ? mask.data() : nullptr);
      });
  CHECK(y.guards_are_intact());
  for (int n = 0; n < batch; ++n) {
    for (int h = 0; h < heads; ++h) {
      for (int i = 0; i < q_count; ++i) {
        std::vector<double> scores((size_t)keys);
        double peak = -INFINITY, total = 0;
        for (int j = 0; j < keys; ++j) {
          double dot = 0;
          for (int c = 0; c < head_width; ++c)
            dot += (double)to_float(source[(n * q_count + i) * row + h * head_width + c]) * to_float(k_data[(n * keys + j) * row + h * head_width + c]);
          scores[j] = dot / std::sqrt((double)head_width) + (has_mask ? mask[((size_t)n * q_count + i) * keys + j] : 0.0f);
          if (is_causal && j > i) scores[j] = -INFINITY;
          peak = std::max(peak, scores[j]);
        }
        for (double& score : scores) total += score = peak == -INFINITY ? 0 : std::exp(score - peak);
        for (int c = 0; c < head_width; ++c) {
          double sum = 0;
          for (int j = 0; j < keys; ++j) sum += scores[j] * to_float(v_data[(n * keys + j) * row + h * head_width + c]);
          const double expected = total > 0 ? sum / total : 0;
          // Weights are rounded to T before the second product; values reach about 8.
          CHECK_NEAR(to_float(y[((size_t)n * q_count + i) * width + h * head_width + c]), expected, 1e-5 + 8 * rounding<T>());
        }
      }
    }
  }
}

}  // namespace

CLIPENGINE_TEST(error_function_is_exact_to_fp32) {
  for (float x = -6; x < 6; x += 0.0037f) CHECK_NEAR(error_function(x), std::erf((double)x), 3e-7);
}

CLIPENGINE_TEST(activations_follow_their_formulas) {
  for (int activation = kNone; activation <= kSilu; ++activation)
    for (float x = -12; x < 12; x += 0.037f) CHECK_NEAR(activate(x, activation), reference_activation(x, activation), 2e-6 * (1 + std::abs(x)));
}

CLIPENGINE_TEST(products_in_bf16_over_odd_sizes) {
  int activation = 0;
  for (auto [rows, columns, depth] : {std::array{1, 1, 8}, {7, 17, 24}, {50, 130, 64}, {129, 7, 104}, {130, 257, 40}, {17, 50, 8}}) {
    check_product<bf16, bf16>(product_bf16, rows, columns, depth, kTileRows, kTileColumns, kProductSharedBytes, activation, activation % 2 == 1);
    check_product<bf16, float>(product_bf16_fp32, rows, columns, depth, kTileRows, kTileColumns, kProductSharedBytes, activation, activation % 2 == 0);
    activation = (activation + 1) % 6;
  }
}

CLIPENGINE_TEST(products_in_fp16_over_odd_sizes) {
  for (auto [rows, columns, depth] : {std::array{1, 7, 16}, {77, 50, 72}, {140, 129, 32}}) {
    check_product<fp16, fp16>(product_fp16, rows, columns, depth, kTileRows, kTileColumns, kProductSharedBytes, kGelu, true);
    check_product<fp16, float>(product_fp16_fp32, rows, columns, depth, kTileRows, kTileColumns, kProductSharedBytes, kNone, true);
  }
}

CLIPENGINE_TEST(products_in_fp32_over_odd_sizes) {
  for (auto [rows, columns, depth] : {std::array{1, 1, 1}, {7, 17, 13}, {65, 64, 16}, {50, 77, 33}, {130, 7, 48}})
    check_product<float, float>(product_fp32_fp32, rows, columns, depth, kPlainTile, kPlainTile, 0, kQuickGelu, true);
}

CLIPENGINE_TEST(attention_in_bf16) {
  check_attention<bf16>(attention_bf16_32, 2, 2, 14, 17, 17, false, false, true);
  check_attention<bf16>(attention_bf16_32, 1, 3, 16, 7, 65, false, true, false);
  check_attention<bf16>(attention_bf16_32, 2, 2, 32, 77, 77, true, false, true);
  check_attention<bf16>(attention_bf16_64, 1, 1, 64, 50, 50, false, false, true);
  check_attention<bf16>(attention_bf16_80, 1, 2, 80, 1, 130, false, false, false);
}

CLIPENGINE_TEST(attention_in_fp16) {
  check_attention<fp16>(attention_fp16_64, 1, 2, 40, 65, 65, true, false, true);
  check_attention<fp16>(attention_fp16_96, 1, 1, 88, 9, 70, false, true, false);
  check_attention<fp16>(attention_fp16_112, 1, 1, 104, 17, 17, false, false, true);
  check_attention<fp16>(attention_fp16_128, 1, 1, 128, 5, 64, false, false, false);
}

CLIPENGINE_TEST(attention_in_fp32) {
  check_attention<float>(attention_fp32, 2, 2, 14, 17, 17, false, false, true);
  check_attention<float>(attention_fp32, 1, 1, 64, 50, 50, true, false, true);
  check_attention<float>(attention_fp32, 2, 1, 112, 3, 77, false, true, false);
}

CLIPENGINE_TEST(layer_norms_in_every_type) {
  for (int width : {1, 7, 32, 50, 257}) {
    const int rows = 11;
    auto x = to_buffer<float>(random_values((size_t)rows * width, 3.0f)), weight = to_buffer<float>(random_values((size_t)width)), bias = to_buffer<float>(random_values((size_t)width));
    auto check = [&](auto kernel, auto& input, auto output) {
      run({blocks(rows, kRowsPerBlock), 1, 1}, kNormThreads, 0, [&] { kernel(input.data(), weight.data(), bias.data(), output.data(), rows, width, 1e-5f); });
      CHECK(output.guards_are_intact());
      for (int r = 0; r < rows; ++r) {
        double mean = 0, variance = 0;
        for (int i = 0; i < width; ++i) mean += to_float(input[(size_t)r * width + i]) / width;
        for (int i = 0; i < width; ++i) variance += std::pow(to_float(input[(size_t)r * width + i]) - mean, 2) / width;
        for (int i = 0; i < width; ++i) {
          const double expected = (to_float(input[(size_t)r * width + i]) - mean) / std::sqrt(variance + 1e-5) * weight[i] + bias[i];
          CHECK_NEAR(to_float(output[(size_t)r * width + i]), expected, 1e-5 + rounding<std::remove_reference_t<decltype(output[0])>>() * std::abs(expected));
        }
      }
    };
    auto b = to_buffer<bf16>(random_values((size_t)rows * width));
    auto h = to_buffer<fp16>(random_values((size_t)rows * width));
    check(layer_norm_fp32, x, Buffer<float>((size_t)rows * width));
    check(layer_norm_fp32_bf16, x, Buffer<bf16>((size_t)rows * width));
    check(layer_norm_fp32_fp16, x, Buffer<fp16>((size_t)rows * width));
    check(layer_norm_bf16, b, Buffer<bf16>((size_t)rows * width));
    check(layer_norm_fp16, h, Buffer<fp16>((size_t)rows * width));
  }
}

CLIPENGINE_TEST(features_get_length_one_and_zero_stays_zero) {
  const int rows = 9, width = 77;
  auto values = random_values((size_t)rows * width);
  std::fill(values.begin(), values.begin() + width, 0.0f);
  auto x = to_buffer<float>(values);
  Buffer<float> y(x.size());
  run({blocks(rows, kRowsPerBlock), 1, 1}, kNormThreads, 0, [&] { l2_normalize_fp32(x.data(), y.data(), rows, width); });
  CHECK(y.guards_are_intact());
  for (int r = 0; r < rows; ++r) {
    double length = 0;
    for (int i = 0; i < width; ++i) length += std::pow(x[(size_t)r * width + i], 2);
    for (int i = 0; i < width; ++i) CHECK_NEAR(y[(size_t)r * width + i], x[(size_t)r * width + i] / std::max(std::sqrt(length), 1e-12), 1e-6);
  }
}

CLIPENGINE_TEST(a_convolution_is_unfold_product_and_fold) {
  const int n = 2, channels = 3, height = 9, width = 7, out = 5, kernel = 3, stride = 2, padding = 1;
  const int out_height = (height + 2 * padding - kernel) / stride + 1, out_width = (width + 2 * padding - kernel) / stride + 1;
  const int depth = channels * kernel * kernel, padded = (depth + 7) / 8 * 8, rows = n * out_height * out_width;
  auto x = to_buffer<float>(random_values((size_t)n * channels * height * width));
  auto w = random_values((size_t)out * depth);
  std::vector<float> w_padded((size_t)out * padded, 0.0f);
  for (int o = 0; o < out; ++o) std::copy_n(&w[(size_t)o * depth], depth, &w_padded[(size_t)o * padded]);
  auto wp = to_buffer<float>(w_padded);
  auto residual = to_buffer<float>(random_values((size_t)rows * out));
  Buffer<float> windows((size_t)rows * padded), product((size_t)rows * out), y((size_t)rows * out);
  run({blocks((int64_t)rows * padded, kElementThreads), 1, 1}, kElementThreads, 0, [&] {
    unfold_fp32(x.data(), windows.data(), (int64_t)rows * padded, channels, height, width, kernel, kernel, stride, padding, out_height, out_width, padded);
  });
  run({blocks(out, kPlainTile), blocks(rows, kPlainTile), 1}, kProductThreads, 0,
      [&] { product_fp32_fp32(windows.data(), wp.data(), product.data(), rows, out, padded, nullptr, nullptr, nullptr, kNone); });
  run({blocks((int64_t)rows * out, kElementThreads), 1, 1}, kElementThreads, 0,
      [&] { fold_channels(product.data(), y.data(), (int64_t)rows * out, out, out_height * out_width, residual.data(), kRelu); });
  CHECK(windows.guards_are_intact() && y.guards_are_intact());
  for (int i = 0; i < n; ++i) {
    for (int o = 0; o < out; ++o) {
      for (int r = 0; r < out_height; ++r) {
        for (int c = 0; c < out_width; ++c) {
          double sum = 0;
          for (int ch = 0; ch < channels; ++ch)
            for (int kr = 0; kr < kernel; ++kr)
              for (int kc = 0; kc < kernel; ++kc) {
                const int row = r * stride - padding + kr, column = c * stride - padding + kc;
                if (row >= 0 && row < height && column >= 0 && column < width)
                  sum += (double)x[(((size_t)i * channels + ch) * height + row) * width + column] * w[(((size_t)o * channels + ch) * kernel + kr) * kernel + kc];
              }
          const size_t index = (((size_t)i * out + o) * out_height + r) * out_width + c;
          CHECK_NEAR(y[index], std::max(0.0, sum + residual[index]), 1e-5);
        }
      }
    }
  }
}

CLIPENGINE_TEST(tokens_are_assembled_taken_and_averaged) {
  const int n = 3, count = 5, width = 7;
  auto tokens = to_buffer<float>(random_values((size_t)n * count * width)), first = to_buffer<float>(random_values((size_t)width));
  auto positions = to_buffer<float>(random_values((size_t)(count + 1) * width));
  Buffer<float> y((size_t)n * (count + 1) * width);
  run({blocks((int64_t)y.size(), kElementThreads), 1, 1}, kElementThreads, 0,
      [&] { assemble_tokens_fp32(tokens.data(), first.data(), positions.data(), y.data(), (int64_t)y.size(), count, width); });
  CHECK(y.guards_are_intact());
  for (int i = 0; i < n; ++i)
    for (int t = 0; t <= count; ++t)
      for (int c = 0; c < width; ++c) {
        const float token = t == 0 ? first[c] : tokens[((size_t)i * count + t - 1) * width + c];
        CHECK_EQUAL(y[((size_t)i * (count + 1) + t) * width + c], token + positions[(size_t)t * width + c]);
      }

  std::vector<int> indices = {4, 0, 2};
  Buffer<float> taken((size_t)n * width), mean((size_t)n * width), slice((size_t)n * 2 * width);
  run({1, 1, 1}, kElementThreads, 0, [&] { take_tokens_fp32(tokens.data(), indices.data(), taken.data(), (int64_t)taken.size(), count, 0, 1, width); });
  run({1, 1, 1}, kElementThreads, 0, [&] { take_tokens_fp32(tokens.data(), nullptr, slice.data(), (int64_t)slice.size(), count, 3, 2, width); });
  run({1, 1, 1}, kElementThreads, 0, [&] { mean_tokens_fp32(tokens.data(), mean.data(), (int64_t)mean.size(), count, width); });
  CHECK(taken.guards_are_intact() && mean.guards_are_intact() && slice.guards_are_intact());
  for (int i = 0; i < n; ++i)
    for (int c = 0; c < width; ++c) {
      CHECK_EQUAL(taken[(size_t)i * width + c], tokens[((size_t)i * count + indices[i]) * width + c]);
      CHECK_EQUAL(slice[((size_t)i * 2 + 1) * width + c], tokens[((size_t)i * count + 4) * width + c]);
      double sum = 0;
      for (int t = 0; t < count; ++t) sum += tokens[((size_t)i * count + t) * width + c];
      CHECK_NEAR(mean[(size_t)i * width + c], sum / count, 1e-6);
    }
}

CLIPENGINE_TEST(ids_are_looked_up_and_a_token_appended) {
  const int n = 2, count = 4, width = 6, vocabulary = 9;
  auto table = to_buffer<float>(random_values((size_t)vocabulary * width)), appended = to_buffer<float>(random_values((size_t)width)), positions = to_buffer<float>(random_values((size_t)(count + 3) * width));
  std::vector<int> ids = {8, 0, 3, 3, 1, 2, 7, 5};
  for (bool has_appended : {false, true}) {
    const int out_count = count + has_appended;
    Buffer<float> y((size_t)n * out_count * width);
    run({1, 1, 1}, kElementThreads, 0, [&] {
      token_embedding(ids.data(), table.data(), has_appended ? appended.data() : nullptr, positions.data(), y.data(), (int64_t)y.size(), count, width);
    });
    CHECK(y.guards_are_intact());
    for (int i = 0; i < n; ++i)
      for (int t = 0; t < out_count; ++t)
        for (int c = 0; c < width; ++c)
          CHECK_EQUAL(y[((size_t)i * out_count + t) * width + c], (t == count ? appended[c] : table[(size_t)ids[i * count + t] * width + c]) + positions[(size_t)t * width + c]);
  }
}

CLIPENGINE_TEST(maps_are_pooled_turned_and_tokens_joined) {
  const int n = 2, channels = 3, height = 5, width = 4;
  auto x = to_buffer<float>(random_values((size_t)n * channels * height * width));
  Buffer<float> pooled((size_t)n * channels * 2 * 2), turned(x.size());
  run({1, 1, 1}, kElementThreads, 0, [&] { average_pool(x.data(), pooled.data(), (int64_t)pooled.size(), height, width, 2); });
  run({1, 1, 1}, kElementThreads, 0, [&] { map_to_tokens(x.data(), turned.data(), (int64_t)turned.size(), channels, height * width); });
  CHECK(pooled.guards_are_intact() && turned.guards_are_intact());
  const auto at = [&](int i, int c, int r, int k) { return x[(((size_t)i * channels + c) * height + r) * width + k]; };
  for (int i = 0; i < n; ++i)
    for (int c = 0; c < channels; ++c) {
      CHECK_NEAR(pooled[((size_t)i * channels + c) * 4 + 3], (at(i, c, 2, 2) + at(i, c, 2, 3) + at(i, c, 3, 2) + at(i, c, 3, 3)) / 4, 1e-6);
      for (int p = 0; p < height * width; ++p) CHECK_EQUAL(turned[((size_t)i * height * width + p) * channels + c], at(i, c, p / width, p % width));
    }

  auto first = to_buffer<float>(random_values(2 * 1 * 3)), second = to_buffer<float>(random_values(2 * 2 * 3));
  Buffer<float> joined(2 * 3 * 3), repeated(12), sum(6), converted(2 * 8);
  run({1, 1, 1}, kElementThreads, 0, [&] { concatenate_tokens_fp32(first.data(), second.data(), joined.data(), 18, 1, 2, 3); });
  run({1, 1, 1}, kElementThreads, 0, [&] { broadcast(first.data(), repeated.data(), 12, 6); });
  run({1, 1, 1}, kElementThreads, 0, [&] { add_fp32(first.data(), second.data(), sum.data(), 6); });
  run({1, 1, 1}, kElementThreads, 0, [&] { convert_rows_fp32(first.data(), converted.data(), 16, 3, 8); });
  for (int i = 0; i < 2; ++i)
    for (int t = 0; t < 3; ++t)
      for (int c = 0; c < 3; ++c) CHECK_EQUAL(joined[((size_t)i * 3 + t) * 3 + c], t == 0 ? first[(size_t)i * 3 + c] : second[((size_t)i * 2 + t - 1) * 3 + c]);
  for (int i = 0; i < 12; ++i) CHECK_EQUAL(repeated[i], first[i % 6]);
  for (int i = 0; i < 6; ++i) CHECK_EQUAL(sum[i], first[i] + second[i]);
  for (int i = 0; i < 16; ++i) CHECK_EQUAL(converted[i], i % 8 < 3 ? first[(size_t)(i / 8) * 3 + i % 8] : 0.0f);
}

CLIPENGINE_TEST_MAIN()
