// Products, attention and norms in the emulator against a double-precision reference, over odd sizes, inside canaries.
#define CLIPENGINE_CUDA_EMULATOR 1
#include "cuda/kernels/attention.cu"
#include "cuda/kernels/layer_norm.cu"
#include "cuda/kernels/matrix_product.cu"
#include "cuda/kernels/matrix_product_hopper.cu"
#include "cuda/kernels/quantize.cu"
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
    case kTanh: return std::tanh(x);
    default: return x;
  }
}

template <typename T, typename Out, typename Kernel>
void check_product(Kernel kernel, int rows, int columns, int depth, int tile_rows, int tile_columns, size_t shared, int activation, bool has_extras) {
  auto x = to_buffer<T>(random_values((size_t)rows * depth));
  auto w = to_buffer<T>(random_values((size_t)columns * depth, 1.0f / std::sqrt((float)depth)));
  auto bias = to_buffer<float>(random_values((size_t)columns)), scale = to_buffer<float>(random_values((size_t)columns));
  auto residual = to_buffer<float>(random_values((size_t)rows * columns));
  Buffer<Out> y((size_t)rows * columns);
  run({blocks(columns, tile_columns), blocks(rows, tile_rows), 1}, kProductThreads, shared, kernel, x.data(), w.data(), y.data(), rows, columns, depth, has_extras ? bias.data() : nullptr, has_extras ? scale.data() : nullptr, has_extras ? residual.data() : nullptr, activation);
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
void check_attention(Kernel kernel, int batch, int heads, int head_width, int queries, int keys, bool is_causal, bool has_mask, bool is_packed, bool is_mask_per_head = false) {
  const int width = heads * head_width, padded = head_width <= 32 ? 32 : head_width <= 64 ? 64 : (head_width + 15) / 16 * 16;
  const bool is_plain = sizeof(T) == 4;
  auto q = to_buffer<T>(random_values((size_t)batch * queries * width * 3, 2.0f));
  auto kv = to_buffer<T>(random_values((size_t)batch * keys * width * 3, 2.0f));
  const size_t masks = is_mask_per_head ? (size_t)heads : 1;
  std::vector<float> mask_values((size_t)batch * masks * queries * keys);
  for (size_t i = 0; i < mask_values.size(); ++i) mask_values[i] = i % 5 == 3 ? -INFINITY : 0.1f * (float)(i % 7);
  if (has_mask) {
    std::fill(mask_values.begin(), mask_values.begin() + keys, -INFINITY);  // the first query sees nothing
    if (queries > 1) std::fill_n(mask_values.begin() + keys, std::min(keys - 1, 66), -INFINITY);  // the second one nothing in the first round
  }
  auto mask = to_buffer<float>(mask_values);
  // Packed: q, k and v are thirds of one row, as one fused projection leaves them (then queries are keys).
  const int64_t row = is_packed ? 3 * width : width;
  T* source = is_packed ? kv.data() : q.data();
  const T *k_data = is_packed ? kv.data() + width : kv.data(), *v_data = is_packed ? kv.data() + 2 * width : kv.data() + (size_t)batch * keys * width;
  const int q_count = is_packed ? keys : queries;
  Buffer<T> y((size_t)batch * q_count * width);
  run({is_plain ? blocks(q_count, 4) : blocks(q_count, kQueryTile), (unsigned)heads, (unsigned)batch}, kAttentionThreads,
      is_plain ? 0 : 3u * 64 * (padded + 8) * 2, kernel, source, k_data, v_data, y.data(), row, row * q_count, row, row * keys, row, row * keys, heads, head_width, q_count, keys, is_causal, has_mask ? mask.data() : nullptr, (int64_t)masks * q_count * keys,
      is_mask_per_head ? (int64_t)q_count * keys : 0, nullptr, 0);
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
          scores[j] = dot / std::sqrt((double)head_width) + (has_mask ? mask[(((size_t)n * masks + h % masks) * q_count + i) * keys + j] : 0.0f);
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

// A mean of equal values is that value, whatever its weights are rounded to: here all but one by almost half a unit, downwards,
// and the value is the one whose relative spacing is smallest.
template <typename T, typename Kernel>
void check_attention_over_one_value(Kernel kernel) {
  const int queries = 9, keys = 65, head_width = 16;
  const float value = (float)(2 - 2 * rounding<T>()), weight = (float)(0.5 * (1 + 0.98 * rounding<T>()));
  auto q = to_buffer<T>(std::vector<float>(queries * head_width, 0.0f)), k = to_buffer<T>(random_values(keys * head_width)), v = to_buffer<T>(std::vector<float>(keys * head_width, value));
  std::vector<float> logarithms(queries * keys, std::log(weight));
  for (int i = 0; i < queries; ++i) logarithms[(size_t)i * keys] = 0.0f;
  auto mask = to_buffer<float>(logarithms);
  Buffer<T> y(queries * head_width);
  run({1, 1, 1}, kAttentionThreads, 3u * 64 * (32 + 8) * 2, kernel, q.data(), k.data(), v.data(), y.data(), head_width, 0, head_width, 0, head_width, 0, 1, head_width, queries, keys, 0, mask.data(), 0, 0, nullptr, 0);
  for (size_t i = 0; i < y.size(); ++i) CHECK_EQUAL(to_float(y[i]), value);
}

}  // namespace

CLIPENGINE_TEST(error_function_is_exact_to_fp32) {
  for (float x = -6; x < 6; x += 0.0037f) CHECK_NEAR(error_function(x), std::erf((double)x), 3e-7);
}

CLIPENGINE_TEST(activations_follow_their_formulas) {
  for (int activation = kNone; activation <= kTanh; ++activation)
    for (float x = -12; x < 12; x += 0.037f) CHECK_NEAR(activate(x, activation), reference_activation(x, activation), 2e-6 * (1 + std::abs(x)));
}

CLIPENGINE_TEST(activations_follow_tanh_near_zero_and_far_out) {
  for (float x = 1e-37f; x < 1e30f; x *= 1.07f) {
    CHECK_NEAR(activate(x, kTanh), std::tanh((double)x), 4e-7 * std::tanh((double)x));
    CHECK_EQUAL(activate(-x, kTanh), -activate(x, kTanh));
    CHECK(activate(x, kTanh) <= 1.0f);
  }
  CHECK(std::isnan(activate(std::nanf(""), kTanh)));
}

CLIPENGINE_TEST(products_in_bf16_over_odd_sizes) {
  int activation = 0;
  for (auto [rows, columns, depth] : {std::array{1, 1, 8}, {7, 17, 24}, {50, 130, 64}, {129, 7, 104}, {130, 257, 40}, {17, 50, 8}}) {
    check_product<bf16, bf16>(product_bf16, rows, columns, depth, kTileRows, kTileColumns, kProductSharedBytes, activation, activation % 2 == 1);
    check_product<bf16, float>(product_bf16_fp32, rows, columns, depth, kTileRows, kTileColumns, kProductSharedBytes, activation, activation % 2 == 0);
    activation = (activation + 1) % 7;
  }
}

CLIPENGINE_TEST(products_in_fp16_over_odd_sizes) {
  for (auto [rows, columns, depth] : {std::array{1, 7, 16}, {77, 50, 72}, {140, 129, 32}}) {
    check_product<fp16, fp16>(product_fp16, rows, columns, depth, kTileRows, kTileColumns, kProductSharedBytes, kGelu, true);
    check_product<fp16, float>(product_fp16_fp32, rows, columns, depth, kTileRows, kTileColumns, kProductSharedBytes, kNone, true);
  }
}

CLIPENGINE_TEST(products_on_warpgroups_over_odd_sizes) {
  if (!has_kernel("product_wide_bf16")) return;
  int activation = 0;
  for (auto [rows, columns, depth] : {std::array{1, 1, 8}, {70, 17, 72}, {129, 260, 136}, {65, 300, 344}}) {
    check_product<bf16, bf16>(product_wide_bf16, rows, columns, depth, kWideRows, kWideColumns, kWideSharedBytes, activation, activation % 2 == 1);
    check_product<bf16, float>(product_wide_bf16_fp32, rows, columns, depth, kWideRows, kWideColumns, kWideSharedBytes, activation, activation % 2 == 0);
    activation = (activation + 1) % 7;
  }
  check_product<fp16, fp16>(product_wide_fp16, 40, 40, 64, kWideRows, kWideColumns, kWideSharedBytes, kGelu, true);
  check_product<fp16, float>(product_wide_fp16_fp32, 128, 9, 200, kWideRows, kWideColumns, kWideSharedBytes, kNone, true);
}

CLIPENGINE_TEST(products_in_fp32_over_odd_sizes) {
  for (auto [rows, columns, depth] : {std::array{1, 1, 1}, {7, 17, 13}, {65, 64, 16}, {50, 77, 33}, {130, 7, 48}})
    check_product<float, float>(product_fp32_fp32, rows, columns, depth, kPlainTile, kPlainTile, 0, kQuickGelu, true);
}

CLIPENGINE_TEST(products_in_tf32_round_their_operands_and_nothing_else) {
  CHECK_EQUAL(round_to_tf32(0x3f801000u), 0x3f802000u);  // halves away from zero
  CHECK_EQUAL(round_to_tf32(0xbf800fffu), 0xbf800000u);
  for (auto [rows, columns, depth] : {std::array{1, 1, 4}, {7, 17, 12}, {65, 130, 36}, {130, 7, 20}}) {
    auto x = to_buffer<float>(random_values((size_t)rows * depth)), w = to_buffer<float>(random_values((size_t)columns * depth)), bias = to_buffer<float>(random_values((size_t)columns));
    Buffer<float> y((size_t)rows * columns);
    run({blocks(columns, kTileColumns), blocks(rows, kTileRows), 1}, kProductThreads, kProductSharedBytes, product_tf32_fp32, x.data(), w.data(), y.data(), rows, columns, depth, bias.data(), nullptr, nullptr, kNone);
    CHECK(y.guards_are_intact());
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < columns; ++c) {
        double sum = bias[c], magnitude_sum = 1;
        for (int k = 0; k < depth; ++k) {
          const double product = (double)bits_to_float(round_to_tf32(float_to_bits(x[(size_t)r * depth + k]))) * bits_to_float(round_to_tf32(float_to_bits(w[(size_t)c * depth + k])));
          sum += product;
          magnitude_sum += std::abs(product);
        }
        CHECK_NEAR(y[(size_t)r * columns + c], sum, 4e-6 * magnitude_sum);
      }
    }
  }
}

CLIPENGINE_TEST(e4m3_has_the_numbers_that_it_should) {
  CHECK_EQUAL(e4m3_to_float(0x01), 1.0f / 512);
  CHECK_EQUAL(e4m3_to_float(0x08), 1.0f / 64);
  CHECK_EQUAL(e4m3_to_float(0x38), 1.0f);
  CHECK_EQUAL(e4m3_to_float(0xfe), -448.0f);
  for (int bits = 0; bits < 256; ++bits) {
    if ((bits & 127) == 127) continue;
    const float value = e4m3_to_float((uint8_t)bits);
    CHECK_EQUAL((int)float_to_e4m3(value), bits);
    if ((bits & 127) == 126) continue;
    // Between two neighbours the even one takes the middle.
    const float next = e4m3_to_float((uint8_t)(bits + 1)), middle = (value + next) / 2;
    CHECK_EQUAL((int)float_to_e4m3(middle), bits + (bits & 1));
    CHECK_EQUAL((int)float_to_e4m3(middle + (next - middle) / 64), bits + 1);
  }
  CHECK_EQUAL((int)float_to_e4m3(1e9f), 0x7e);
  CHECK(std::isnan(e4m3_to_float(float_to_e4m3(NAN))));
}

template <typename In, typename Kernel>
void check_quantize(Kernel kernel, int rows, int width) {
  const int padded = (width + 15) / 16 * 16;
  auto values = random_values((size_t)rows * width, 3.0f);
  std::fill(values.end() - width, values.end(), 0.0f);
  if (rows > 1) values[width - 1] = -40.0f;  // the last of the first row is its largest
  auto x = to_buffer<In>(values);
  Buffer<fp8_pair> y((size_t)rows * padded / 2);
  Buffer<float> scales((size_t)rows);
  run({blocks(rows, kQuantizeRows), 1, 1}, kQuantizeThreads, 0, kernel, x.data(), y.data(), scales.data(), rows, width, padded);
  CHECK(y.guards_are_intact());
  CHECK(scales.guards_are_intact());
  for (int r = 0; r < rows; ++r) {
    float largest = 0;
    for (int i = 0; i < width; ++i) largest = std::max(largest, std::abs(to_float(x[(size_t)r * width + i])));
    CHECK_NEAR(scales[r], largest > 0 ? largest / 448.0 : 1.0, 1e-6 * largest);
    for (int i = 0; i < padded; ++i) {
      const double found = e4m3_to_float((uint8_t)(y[((size_t)r * padded + i) / 2].bits >> 8 * (i % 2))) * (double)scales[r], expected = i < width ? to_float(x[(size_t)r * width + i]) : 0.0;
      // Half of a step of 3 bits, or of the smallest step.
      CHECK_NEAR(found, expected, std::abs(expected) / 16 * 1.0001 + scales[r] / 1024 * 1.0001);
    }
  }
}

CLIPENGINE_TEST(rows_are_quantised_to_fp8) {
  if (!has_kernel("quantize_rows_fp32")) return;
  for (int width : {1, 7, 32, 50, 130}) {
    check_quantize<float>(quantize_rows_fp32, 11, width);
    check_quantize<bf16>(quantize_rows_bf16, 9, width);
  }
}

template <typename Out, typename Kernel>
void check_product_fp8(Kernel kernel, int rows, int columns, int depth, int activation, bool has_extras) {
  const auto random_fp8 = [](size_t count) {
    const auto values = random_values(count, 100.0f);
    Buffer<fp8_pair> buffer(count / 2);
    for (size_t i = 0; i < count / 2; ++i) buffer[i] = pack_fp8(values[2 * i], values[2 * i + 1]);
    return buffer;
  };
  auto x = random_fp8((size_t)rows * depth), w = random_fp8((size_t)columns * depth);
  const auto positive = [](std::vector<float> values) {
    for (float& value : values) value = 1e-3f + std::abs(value) * 0.01f;
    return to_buffer<float>(values);
  };
  auto x_scales = positive(random_values((size_t)rows)), w_scales = positive(random_values((size_t)columns));
  auto bias = to_buffer<float>(random_values((size_t)columns)), scale = to_buffer<float>(random_values((size_t)columns)), residual = to_buffer<float>(random_values((size_t)rows * columns));
  Buffer<Out> y((size_t)rows * columns);
  run({blocks(columns, kTileColumns), blocks(rows, kTileRows), 1}, kProductThreads, kProductSharedBytes, kernel, x.data(), w.data(), y.data(), rows, columns, depth, has_extras ? bias.data() : nullptr, has_extras ? scale.data() : nullptr,
      has_extras ? residual.data() : nullptr, activation, x_scales.data(), w_scales.data());
  CHECK(y.guards_are_intact());
  const auto element = [](Buffer<fp8_pair>& buffer, size_t i) { return (double)e4m3_to_float((uint8_t)(buffer[i / 2].bits >> 8 * (i % 2))); };
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      double sum = 0, magnitude_sum = 1;
      for (int k = 0; k < depth; ++k) {
        const double product = element(x, (size_t)r * depth + k) * element(w, (size_t)c * depth + k) * x_scales[r] * w_scales[c];
        sum += product;
        magnitude_sum += std::abs(product);
      }
      if (has_extras) sum += bias[c];
      sum = reference_activation(sum, activation);
      if (has_extras) sum = sum * scale[c] + residual[(size_t)r * columns + c];
      CHECK_NEAR(to_float(y[(size_t)r * columns + c]), sum, 4e-6 * magnitude_sum + rounding<Out>() * std::abs(sum));
    }
  }
}

CLIPENGINE_TEST(products_in_fp8_over_odd_sizes) {
  if (!has_kernel("product_fp8_bf16")) return;
  int activation = 0;
  for (auto [rows, columns, depth] : {std::array{1, 1, 16}, {8, 17, 48}, {130, 40, 208}, {65, 130, 80}}) {
    check_product_fp8<bf16>(product_fp8_bf16, rows, columns, depth, activation, activation % 2 == 1);
    check_product_fp8<float>(product_fp8_fp32, rows, columns, depth, activation, activation % 2 == 0);
    activation = (activation + 1) % 7;
  }
}

CLIPENGINE_TEST(attention_in_bf16) {
  check_attention<bf16>(attention_bf16_32, 2, 2, 14, 17, 17, false, false, true);
  check_attention<bf16>(attention_bf16_32, 1, 3, 16, 7, 65, false, true, false);
  check_attention<bf16>(attention_bf16_32, 2, 2, 32, 77, 77, true, false, true);
  check_attention<bf16>(attention_bf16_32, 2, 3, 16, 7, 65, false, true, false, true);
  check_attention<bf16>(attention_bf16_64, 1, 1, 64, 50, 50, false, false, true);
  check_attention<bf16>(attention_bf16_80, 1, 2, 80, 1, 130, false, false, false);
  check_attention<bf16>(attention_bf16_96, 2, 1, 96, 66, 19, false, true, false);
  check_attention<bf16>(attention_bf16_112, 1, 1, 112, 3, 33, false, false, false);
  check_attention<bf16>(attention_bf16_128, 1, 1, 120, 5, 64, false, false, false);
  check_attention_over_one_value<bf16>(attention_bf16_32);
}

CLIPENGINE_TEST(attention_in_fp16) {
  check_attention<fp16>(attention_fp16_32, 1, 3, 24, 2, 130, false, true, false);
  check_attention<fp16>(attention_fp16_64, 1, 2, 40, 65, 65, true, false, true);
  check_attention<fp16>(attention_fp16_80, 2, 1, 72, 21, 21, true, true, true);
  check_attention<fp16>(attention_fp16_96, 1, 1, 88, 9, 70, false, true, false);
  check_attention<fp16>(attention_fp16_112, 1, 1, 104, 17, 17, false, false, true);
  check_attention<fp16>(attention_fp16_128, 1, 1, 128, 5, 64, false, false, false);
  check_attention_over_one_value<fp16>(attention_fp16_32);
}

CLIPENGINE_TEST(attention_in_fp32) {
  check_attention<float>(attention_fp32, 2, 2, 14, 17, 17, false, false, true);
  check_attention<float>(attention_fp32, 1, 1, 64, 50, 50, true, false, true);
  check_attention<float>(attention_fp32, 2, 1, 112, 3, 77, false, true, false);
  check_attention<float>(attention_fp32, 2, 3, 16, 5, 40, false, true, false, true);
}

CLIPENGINE_TEST(layer_norms_in_every_type) {
  for (int width : {1, 7, 32, 50, 257}) {
    const int rows = 11;
    auto x = to_buffer<float>(random_values((size_t)rows * width, 3.0f)), weight = to_buffer<float>(random_values((size_t)width)), bias = to_buffer<float>(random_values((size_t)width));
    auto check = [&](auto kernel, auto& input, auto output) {
      run({blocks(rows, kRowsPerBlock), 1, 1}, kNormThreads, 0, kernel, input.data(), weight.data(), bias.data(), output.data(), rows, width, 1e-5f);
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

CLIPENGINE_TEST(rms_norms_in_every_type) {
  for (int width : {1, 7, 32, 50, 257}) {
    const int rows = 11;
    auto x = to_buffer<float>(random_values((size_t)rows * width, 3.0f)), weight = to_buffer<float>(random_values((size_t)width));
    auto check = [&](auto kernel, auto& input, auto output) {
      run({blocks(rows, kRowsPerBlock), 1, 1}, kNormThreads, 0, kernel, input.data(), weight.data(), output.data(), rows, width, 1e-6f);
      CHECK(output.guards_are_intact());
      for (int r = 0; r < rows; ++r) {
        double squares = 0;
        for (int i = 0; i < width; ++i) squares += std::pow(to_float(input[(size_t)r * width + i]), 2) / width;
        for (int i = 0; i < width; ++i) {
          const double expected = to_float(input[(size_t)r * width + i]) / std::sqrt(squares + 1e-6) * weight[i];
          CHECK_NEAR(to_float(output[(size_t)r * width + i]), expected, 1e-5 + rounding<std::remove_reference_t<decltype(output[0])>>() * std::abs(expected));
        }
      }
    };
    auto b = to_buffer<bf16>(random_values((size_t)rows * width));
    auto h = to_buffer<fp16>(random_values((size_t)rows * width));
    check(rms_norm_fp32, x, Buffer<float>((size_t)rows * width));
    check(rms_norm_fp32_bf16, x, Buffer<bf16>((size_t)rows * width));
    check(rms_norm_fp32_fp16, x, Buffer<fp16>((size_t)rows * width));
    check(rms_norm_bf16, b, Buffer<bf16>((size_t)rows * width));
    check(rms_norm_fp16, h, Buffer<fp16>((size_t)rows * width));
  }
}

template <typename In, typename Kernel>
void check_l2_normalize(Kernel kernel, int width) {
  const int rows = 11;
  auto values = random_values((size_t)rows * width);
  std::fill(values.begin(), values.begin() + width, 0.0f);
  auto x = to_buffer<In>(values);
  Buffer<float> y(x.size());
  run({blocks(rows, kRowsPerBlock), 1, 1}, kNormThreads, 0, kernel, x.data(), y.data(), rows, width);
  CHECK(y.guards_are_intact());
  for (int r = 0; r < rows; ++r) {
    double length = 0;
    for (int i = 0; i < width; ++i) length += std::pow(to_float(x[(size_t)r * width + i]), 2);
    for (int i = 0; i < width; ++i) CHECK_NEAR(y[(size_t)r * width + i], to_float(x[(size_t)r * width + i]) / std::max(std::sqrt(length), 1e-12), 1e-6);
  }
}

CLIPENGINE_TEST(features_get_length_one_and_zero_stays_zero) {
  for (int width : {1, 31, 77}) {
    check_l2_normalize<float>(l2_normalize_fp32, width);
    check_l2_normalize<bf16>(l2_normalize_bf16, width);
    check_l2_normalize<fp16>(l2_normalize_fp16, width);
  }
}

CLIPENGINE_TEST_MAIN()
