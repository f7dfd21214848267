// Everything but the product, against plain twins, on every instruction set that this machine has.
#include "core/thread_pool.h"
#include "cpu_reference.h"
#include "cpu_support.h"

using namespace cpu_test;

CLIPENGINE_TEST(activations_equal_their_formulas) {
  std::vector<float> x;
  for (float value = -12.0f; value <= 12.0f; value += 0.00137f) x.push_back(value);
  for (float value : {0.0f, -0.0f, 1e-30f, -1e-30f, 1e-6f, 40.0f, -40.0f, 100.0f, -100.0f, 1e30f, -1e30f}) x.push_back(value);
  for (int32_t isa : tested_isas()) {
    const OwnedPass run = pass(isa);
    for (int kind = 0; kind <= 6; ++kind) {
      Guarded input(x), output(static_cast<int64_t>(x.size()));
      CHECK_EQUAL(clipengine_cpu_activate(run.get(), input.data(), input.size(), kind, output.data()), CLIPENGINE_OK);
      for (int64_t i = 0; i < output.size(); ++i) {
        const double expected = reference::activated(input[i], static_cast<Activation>(kind));
        // Two and a half units in the last place of max(1, |x|).
        const double bound = 3e-7 * std::max(1.0, std::abs(static_cast<double>(input[i])));
        if (!(std::abs(output[i] - expected) <= bound)) {
          clipengine_test::check_near(output[i], expected, bound, "activation " + std::to_string(kind) + " of " + std::to_string(input[i]), __FILE__, __LINE__);
          break;
        }
      }
    }
  }
}

// What math_body.h says of GELU: from a table where a vector holds one (AVX-512), else as a quotient.
CLIPENGINE_TEST(gelu_is_accurate_relative_to_its_operand_and_bounded_below) {
  std::vector<float> x;
  for (float value = 1e-30f; value < 1e-3f; value *= 1.07f) x.insert(x.end(), {value, -value});
  for (float value = -12.0f; value <= 12.0f; value += 0.000173f) x.push_back(value);
  for (float value = 5.2f; value <= 5.6f; value = std::nextafter(value, 6.0f) + 1e-6f) x.insert(x.end(), {value, -value});
  for (float value : {0.0f, -0.0f, 20.0f, -20.0f, 1000.0f, -1000.0f, 1e30f, -1e30f, HUGE_VALF, -HUGE_VALF, std::nanf("")}) x.push_back(value);
  for (int32_t isa : tested_isas()) {
    // No other set has tiles of fourteen rows.
    const bool table = kernels_of(isa).tile_rows == 14;
    const OwnedPass run = pass(isa);
    Guarded input(x), output(static_cast<int64_t>(x.size()));
    CHECK_EQUAL(clipengine_cpu_activate(run.get(), input.data(), input.size(), static_cast<int32_t>(Activation::Gelu), output.data()), CLIPENGINE_OK);
    for (int64_t i = 0; i < output.size(); ++i) {
      const float at = input[i];
      if (std::isnan(at)) {
        CHECK(std::isnan(output[i]));
      } else if (std::isinf(at)) {
        if (at > 0) CHECK_EQUAL(output[i], at);
        if (at < 0) CHECK(std::abs(output[i]) <= (table ? 2.5e-7 : 1.1e-6));
      } else {
        const double magnitude = std::abs(static_cast<double>(at)), bound = table ? std::min(1.3e-7 * magnitude, 2.5e-7) : at < 0 ? std::min(3e-7 * magnitude, 1.1e-6) : 3e-7 * magnitude;
        CHECK_NEAR(output[i], reference::activated(at, Activation::Gelu), bound);
      }
    }
  }
}

// Near 0 tanh is x, and a bound beside 1 would let anything pass.
CLIPENGINE_TEST(tanh_is_accurate_relative_to_itself_and_never_beyond_one) {
  std::vector<float> x;
  for (float value = 1e-37f; value <= 20; value *= 1.013f) x.insert(x.end(), {value, -value});
  for (float value : {0.0f, -0.0f, 1e30f, -1e30f, HUGE_VALF, -HUGE_VALF}) x.push_back(value);
  for (int32_t isa : tested_isas()) {
    const OwnedPass run = pass(isa);
    Guarded input(x), output(static_cast<int64_t>(x.size()));
    CHECK_EQUAL(clipengine_cpu_activate(run.get(), input.data(), input.size(), static_cast<int32_t>(Activation::Tanh), output.data()), CLIPENGINE_OK);
    for (int64_t i = 0; i < output.size(); ++i) {
      const double expected = std::tanh(static_cast<double>(input[i]));
      CHECK_NEAR(output[i], expected, 4e-7 * std::abs(expected));
      CHECK(std::abs(output[i]) <= 1 && std::signbit(output[i]) == std::signbit(input[i]));
    }
  }
}

CLIPENGINE_TEST(nan_stays_nan) {
  const float nan = std::nanf("");
  for (int32_t isa : tested_isas()) {
    const OwnedPass run = pass(isa);
    for (int kind = 0; kind <= 6; ++kind) {
      Guarded input(std::vector<float>(7, nan)), output(7);
      clipengine_cpu_activate(run.get(), input.data(), 7, kind, output.data());
      for (int64_t i = 0; i < 7; ++i) CHECK(std::isnan(output[i]));
    }
    for (int32_t compute : {CLIPENGINE_FLOAT32, CLIPENGINE_BFLOAT16}) {
      const OwnedWeight weight = matrix(random_values(20 * 30, 1), 20, 30, isa, compute);
      auto x = random_values(2 * 30, 2);
      x[3] = nan;
      Guarded input(x), output(2 * 20);
      clipengine_cpu_linear(run.get(), input.data(), 2, weight.get(), nullptr, 0, nullptr, nullptr, nullptr, output.data());
      for (int64_t c = 0; c < 20; ++c) CHECK(std::isnan(output[c]) && !std::isnan(output[20 + c]));
    }
  }
}

CLIPENGINE_TEST(layer_norm_equals_its_twin) {
  for (int32_t isa : tested_isas()) {
    const OwnedPass run = pass(isa);
    for (int64_t rows : kSizes) {
      for (int64_t width : kSizes) {
        if (width == 1) continue;  // a single value has no spread: the result is the bias, checked below
        auto x = random_values(rows * width, 1, 3.0f);
        for (float& value : x) value += 20.0f;  // a mean far from zero must not cost digits
        const auto w = random_values(width, 2), b = random_values(width, 3);
        const OwnedWeight weight = values(w), bias = values(b);
        Guarded input(x), output(rows * width);
        CHECK_EQUAL(clipengine_cpu_layer_norm(run.get(), input.data(), rows, width, weight.get(), bias.get(), 1e-5f, output.data()), CLIPENGINE_OK);
        check_all(output, reference::layer_norm(x.data(), rows, width, w.data(), b.data(), 1e-5), 2e-5, std::string("layer norm ") + clipengine_cpu_isa_name(isa) + " " + std::to_string(width));
      }
    }
    const OwnedWeight weight = values({2.0f}), bias = values({0.5f});
    Guarded input(std::vector<float>{3.0f}), output(1);
    clipengine_cpu_layer_norm(run.get(), input.data(), 1, 1, weight.get(), bias.get(), 1e-5f, output.data());
    CHECK_EQUAL(output[0], 0.5f);
  }
}

CLIPENGINE_TEST(rms_norm_equals_its_formula) {
  for (int32_t isa : tested_isas()) {
    const OwnedPass run = pass(isa);
    for (int64_t rows : kSizes) {
      for (int64_t width : kSizes) {
        const auto x = random_values(rows * width, 1, 3.0f), w = random_values(width, 2);
        const OwnedWeight weight = values(w);
        Guarded input(x), output(rows * width);
        CHECK_EQUAL(clipengine_cpu_rms_norm(run.get(), input.data(), rows, width, weight.get(), 1e-6f, output.data()), CLIPENGINE_OK);
        std::vector<double> expected(x.size());
        for (int64_t r = 0; r < rows; ++r) {
          double squares = 0;
          for (int64_t i = 0; i < width; ++i) squares += std::pow(static_cast<double>(x[static_cast<size_t>(r * width + i)]), 2) / static_cast<double>(width);
          for (int64_t i = 0; i < width; ++i) expected[static_cast<size_t>(r * width + i)] = x[static_cast<size_t>(r * width + i)] / std::sqrt(squares + 1e-6) * w[static_cast<size_t>(i)];
        }
        check_all(output, expected, 2e-6, std::string("RMS norm ") + clipengine_cpu_isa_name(isa) + " " + std::to_string(width));
      }
    }
  }
}

CLIPENGINE_TEST(l2_normalize_and_add_equal_their_formulas) {
  for (int32_t isa : tested_isas()) {
    const OwnedPass run = pass(isa);
    for (int64_t width : kSizes) {
      const auto x = random_values(7 * width, 1), y = random_values(7 * width, 2);
      Guarded input(x), other(y), normalized(7 * width), sum(7 * width);
      CHECK_EQUAL(clipengine_cpu_l2_normalize(run.get(), input.data(), 7, width, normalized.data()), CLIPENGINE_OK);
      CHECK_EQUAL(clipengine_cpu_add(run.get(), input.data(), other.data(), 7 * width, sum.data()), CLIPENGINE_OK);
      std::vector<double> expected(x.begin(), x.end()), added(x.begin(), x.end());
      for (int64_t r = 0; r < 7; ++r) {
        double square = 0;
        for (int64_t i = 0; i < width; ++i) square += std::pow(x[static_cast<size_t>(r * width + i)], 2);
        for (int64_t i = 0; i < width; ++i) expected[static_cast<size_t>(r * width + i)] /= std::max(std::sqrt(square), 1e-12);
      }
      for (size_t i = 0; i < added.size(); ++i) added[i] += y[i];
      check_all(normalized, expected, 3e-7, "l2 normalize");
      check_all(sum, added, 2e-7, "add");
    }
    Guarded zeros(std::vector<float>(9, 0.0f)), output(9);
    clipengine_cpu_l2_normalize(run.get(), zeros.data(), 1, 9, output.data());
    for (int64_t i = 0; i < 9; ++i) CHECK_EQUAL(output[i], 0.0f);
  }
}

CLIPENGINE_TEST(attention_equals_its_twin) {
  for (int32_t isa : tested_isas()) {
    const OwnedPass run = pass(isa);
    for (int64_t tokens : {1, 7, 17, 38, 50, 77, 197, 257, 600}) {
      for (int64_t width : {8, 64, 80, 17}) {
        for (int variant = 0; variant < 5; ++variant) {
          if (tokens > 257 && (width != 64 || variant > 1)) continue;
          const bool causal = variant == 1 || variant == 3, masked = variant >= 2;
          const int64_t heads = 2, masks = variant == 4 ? heads : 1, all = heads * width, batch = 2;
          const auto x = random_values(batch * tokens * 3 * all, 1, 2.0f);
          auto mask = random_values(batch * masks * tokens * tokens, 2);
          for (int64_t i = 0; i < batch * masks * tokens * tokens; ++i) {
            if (i % tokens != 0 && mask[static_cast<size_t>(i)] > 0.3f) mask[static_cast<size_t>(i)] = -INFINITY;  // the first key stays visible
          }
          Guarded input(x), additive(mask), output(batch * tokens * all);
          clipengine_cpu_attention call = self_attention(input.data(), output.data(), batch, tokens, all, heads, causal);
          call.mask = masked ? additive.data() : nullptr;
          call.mask_heads = masks > 1 ? 1 : 0;
          CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
          std::vector<double> expected(static_cast<size_t>(batch * tokens * all));
          for (int64_t n = 0; n < batch; ++n) {
            for (int64_t h = 0; h < heads; ++h) {
              const float* q = x.data() + n * tokens * 3 * all + h * width;
              const auto head = reference::attention(q, q + all, q + 2 * all, 3 * all, 3 * all, tokens, tokens, width, causal, masked ? mask.data() + (n * masks + h % masks) * tokens * tokens : nullptr);
              for (int64_t t = 0; t < tokens; ++t) {
                for (int64_t d = 0; d < width; ++d) expected[static_cast<size_t>((n * tokens + t) * all + h * width + d)] = head[static_cast<size_t>(t * width + d)];
              }
            }
          }
          check_all(output, expected, 4e-6, std::string("attention ") + clipengine_cpu_isa_name(isa) + " tokens " + std::to_string(tokens) + " width " + std::to_string(width) + " variant " + std::to_string(variant));
        }
      }
    }
  }
}

// Masks of models from elsewhere hide keys with numbers as low as there are, also all keys of a padded query: the mean of the values then.
CLIPENGINE_TEST(attention_takes_masks_of_any_size_and_lengths_of_any_sign) {
  const int64_t queries = 5, keys = 19, width = 16;
  const auto q = random_values(queries * width, 1), k = random_values(keys * width, 2), v = random_values(keys * width, 3);
  for (int32_t isa : tested_isas()) {
    for (int32_t compute : {CLIPENGINE_FLOAT32, CLIPENGINE_BFLOAT16}) {
      const OwnedPass run = pass(isa, compute);
      Guarded query(q), key(k), value(v), output(queries * width);
      clipengine_cpu_attention call{query.data(), key.data(), value.data(), nullptr, output.data(), width, width, width, 1, queries, keys, width, 1, 0, 0, nullptr, 0, 0, 0};
      for (float low : {-1e7f, -1e10f, -1e30f, -std::numeric_limits<float>::max(), 1e10f, 1e30f}) {
        // Row 0 sees no key, row 1 the first three, row 2 all but the last, the others all.
        std::vector<float> mask(static_cast<size_t>(queries * keys), 0.0f);
        for (int64_t i = 0; i < keys; ++i) {
          mask[static_cast<size_t>(i)] = low;
          if (i >= 3) mask[static_cast<size_t>(keys + i)] = -std::abs(low);
        }
        mask[static_cast<size_t>(3 * keys - 1)] = -std::abs(low);
        Guarded additive(mask);
        call.mask = additive.data();
        CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
        auto expected = reference::attention(q.data(), k.data(), v.data(), width, width, queries, keys, width, false, mask.data());
        // In fp32 a score vanishes beside such a mask, where double precision keeps it.
        for (int64_t d = 0; d < width && std::abs(low) > 1e9f; ++d) {
          double sum = 0;
          for (int64_t i = 0; i < keys; ++i) sum += v[static_cast<size_t>(i * width + d)];
          expected[static_cast<size_t>(d)] = sum / keys;
        }
        const int64_t from = std::abs(low) > 1e9f ? 0 : width;  // at 1e7 fp32 keeps a part of the score
        for (int64_t i = from; i < queries * width; ++i) CHECK_NEAR(output.data()[i], expected[static_cast<size_t>(i)], compute == CLIPENGINE_FLOAT32 ? 2e-6 : 0.02);
        for (int64_t i = 0; i < from; ++i) CHECK(std::isfinite(output.data()[i]));
      }
      call.mask = nullptr;
      const int32_t length = -1;
      call.key_lengths = &length;
      CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
      for (int64_t i = 0; i < queries * width; ++i) CHECK_EQUAL(output.data()[i], 0.0f);
    }
  }
}

CLIPENGINE_TEST(cross_attention_takes_other_numbers_of_keys) {
  for (int32_t isa : tested_isas()) {
    const OwnedPass run = pass(isa);
    const int64_t queries = 17, keys = 50, width = 24;
    const auto q = random_values(queries * width, 1), k = random_values(keys * width, 2), v = random_values(keys * width, 3);
    Guarded query(q), key(k), value(v), output(queries * width);
    clipengine_cpu_attention call{query.data(), key.data(), value.data(), nullptr, output.data(), width, width, width, 1, queries, keys, width, 1, 0, 0, nullptr, 0, 0, 0};
    CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
    check_all(output, reference::attention(q.data(), k.data(), v.data(), width, width, queries, keys, width, false, nullptr), 2e-6, "cross attention");
  }
}

// The fused block against the same block from single operations: other roundings of the same sums are not allowed either.
// Heads that end within a panel, and such that end with one.
static void check_the_fused_block(int64_t width, int64_t heads) {
  const int64_t hidden = 112, tokens = 17, batch = 3, rows = batch * tokens;
  const auto matrices = [&](int64_t columns, int64_t depth, uint32_t seed) { return random_values(columns * depth, seed, 0.3f); };
  const auto in = matrices(3 * width, width, 1), out = matrices(width, width, 2), expand = matrices(hidden, width, 3), contract = matrices(width, hidden, 4);
  const auto n1 = random_values(width, 5), n1b = random_values(width, 6), n2 = random_values(width, 7), n2b = random_values(width, 8), s1 = random_values(width, 9), s2 = random_values(width, 10);
  const auto inb = random_values(3 * width, 11), outb = random_values(width, 12), eb = random_values(hidden, 13), cb = random_values(width, 14);
  const auto x = random_values(rows * width, 15);
  for (int32_t isa : tested_isas()) {
    for (int32_t compute : {CLIPENGINE_FLOAT32, CLIPENGINE_BFLOAT16, CLIPENGINE_FLOAT16, CLIPENGINE_INT8}) {
      const OwnedWeight wi = matrix(in, 3 * width, width, isa, compute), wo = matrix(out, width, width, isa, compute), we = matrix(expand, hidden, width, isa, compute), wc = matrix(contract, width, hidden, isa, compute);
      const OwnedWeight norm1 = values(n1), norm1b = values(n1b), norm2 = values(n2), norm2b = values(n2b), scale1 = values(s1), scale2 = values(s2), bi = values(inb), bo = values(outb), be = values(eb), bc = values(cb);
      const OwnedPass run = pass(isa);
      Guarded input(x), normed(rows * width), projected(rows * 3 * width), attended(rows * width), middle(rows * width), wide(rows * hidden), expected(rows * width), output(rows * width);
      clipengine_cpu_layer_norm(run.get(), input.data(), rows, width, norm1.get(), norm1b.get(), 1e-5f, normed.data());
      clipengine_cpu_linear(run.get(), normed.data(), rows, wi.get(), bi.get(), 0, nullptr, nullptr, nullptr, projected.data());
      const clipengine_cpu_attention call = self_attention(projected.data(), attended.data(), batch, tokens, width, heads, true);
      clipengine_cpu_attend(run.get(), &call);
      clipengine_cpu_linear(run.get(), attended.data(), rows, wo.get(), bo.get(), 0, scale1.get(), nullptr, input.data(), middle.data());
      clipengine_cpu_layer_norm(run.get(), middle.data(), rows, width, norm2.get(), norm2b.get(), 1e-5f, normed.data());
      clipengine_cpu_linear(run.get(), normed.data(), rows, we.get(), be.get(), 1, nullptr, nullptr, nullptr, wide.data());
      clipengine_cpu_linear(run.get(), wide.data(), rows, wc.get(), bc.get(), 0, scale2.get(), nullptr, middle.data(), expected.data());
      clipengine_cpu_block block{};
      block.input = input.data();
      block.output = output.data();
      block.norm1_weight = norm1.get();
      block.norm1_bias = norm1b.get();
      block.in_weight = wi.get();
      block.in_bias = bi.get();
      block.out_weight = wo.get();
      block.out_bias = bo.get();
      block.scale1 = scale1.get();
      block.norm2_weight = norm2.get();
      block.norm2_bias = norm2b.get();
      block.expand_weight = we.get();
      block.expand_bias = be.get();
      block.contract_weight = wc.get();
      block.contract_bias = bc.get();
      block.scale2 = scale2.get();
      block.batch = batch;
      block.tokens = tokens;
      block.width = width;
      block.heads = heads;
      block.causal = 1;
      block.activation = 1;
      block.epsilon = 1e-5f;
      CHECK_EQUAL(clipengine_cpu_transformer_block(run.get(), &block), CLIPENGINE_OK);
      CHECK(output.same_bits(expected));
    }
  }
}

CLIPENGINE_TEST(the_fused_block_has_the_bits_of_its_parts) {
  check_the_fused_block(48, 3);
  check_the_fused_block(192, 3);
}

// In int8 many rows go through the MLP in bands, a thread each, and few rows together, all threads in each product; at four threads nine
// images do the one and eight the other. Borders of bands cut images, and the second product's depth takes two blocks.
CLIPENGINE_TEST(an_int8_block_has_the_same_bits_for_one_image_and_for_many) {
  const int64_t width = 32, hidden = 4160, tokens = 50, batch = 9, image = tokens * width;
  const auto n = random_values(width, 1), inb = random_values(3 * width, 2), eb = random_values(hidden, 3);
  const OwnedWeight norm = values(n), in_bias = values(inb), expand_bias = values(eb);
  const auto x = random_values(batch * image, 4);
  for (int32_t isa : tested_isas()) {
    const auto int8 = [&](int64_t columns, int64_t depth, uint32_t seed) { return matrix(random_values(columns * depth, seed, 0.3f), columns, depth, isa, CLIPENGINE_INT8); };
    const OwnedWeight in = int8(3 * width, width, 5), out = int8(width, width, 6), expand = int8(hidden, width, 7), contract = int8(width, hidden, 8);
    const OwnedPass run = pass(isa, CLIPENGINE_INT8);
    Guarded input(x), alone(batch * image);
    clipengine_cpu_block block{};
    block.norm1_weight = block.norm1_bias = block.norm2_weight = block.norm2_bias = norm.get();
    block.in_weight = in.get();
    block.in_bias = in_bias.get();
    block.out_weight = out.get();
    block.out_bias = norm.get();
    block.expand_weight = expand.get();
    block.expand_bias = expand_bias.get();
    block.contract_weight = contract.get();
    block.contract_bias = block.scale2 = norm.get();
    block.tokens = tokens;
    block.width = width;
    block.heads = 1;
    block.activation = static_cast<int32_t>(Activation::Gelu);
    block.epsilon = 1e-5f;
    clipengine::ThreadPool::instance().resize(1);
    block.batch = 1;
    for (int64_t i = 0; i < batch; ++i) {
      block.input = input.data() + i * image;
      block.output = alone.data() + i * image;
      CHECK_EQUAL(clipengine_cpu_transformer_block(run.get(), &block), CLIPENGINE_OK);
    }
    block.input = input.data();
    for (int threads : {1, 4}) {
      clipengine::ThreadPool::instance().resize(threads);
      for (int64_t count : {batch, batch - 1}) {
        Guarded together(count * image);
        block.batch = count;
        block.output = together.data();
        CHECK_EQUAL(clipengine_cpu_transformer_block(run.get(), &block), CLIPENGINE_OK);
        CHECK_EQUAL(std::memcmp(together.data(), alone.data(), static_cast<size_t>(count * image) * sizeof(float)), 0);
      }
    }
  }
  clipengine::ThreadPool::instance().resize(0);
}

CLIPENGINE_TEST(convolution_equals_its_twin) {
  for (int32_t isa : tested_isas()) {
    const OwnedPass run = pass(isa);
    for (int64_t groups : {1, 2, 6}) {
      for (int64_t kernel : {1, 3}) {
        for (int64_t stride : {1, 2}) {
          const int64_t batch = 2, channels = 6, out = 42, height = 11, width = 7, padding = kernel / 2;
          const int64_t down = (height + 2 * padding - kernel) / stride + 1, across = (width + 2 * padding - kernel) / stride + 1, depth = channels / groups * kernel * kernel;
          const auto x = random_values(batch * channels * height * width, 1), w = random_values(out * depth, 2), b = random_values(out, 3), res = random_values(batch * out * down * across, 4);
          const OwnedWeight weight = matrix(w, out, depth, isa), bias = values(b);
          Guarded input(x), residual(res), output(batch * out * down * across);
          clipengine_cpu_convolution call{input.data(), weight.get(), bias.get(), residual.data(), output.data(), batch, channels, groups, height, width, kernel, kernel, stride, padding, 4};
          CHECK_EQUAL(clipengine_cpu_convolve(run.get(), &call), CLIPENGINE_OK);
          std::vector<double> expected;
          for (int64_t n = 0; n < batch; ++n) {
            for (int64_t o = 0; o < out; ++o) {
              for (int64_t y = 0; y < down; ++y) {
                for (int64_t z = 0; z < across; ++z) {
                  double sum = b[static_cast<size_t>(o)] + res[expected.size()];
                  for (int64_t c = 0; c < channels / groups; ++c) {
                    for (int64_t ky = 0; ky < kernel; ++ky) {
                      for (int64_t kx = 0; kx < kernel; ++kx) {
                        const int64_t iy = y * stride - padding + ky, ix = z * stride - padding + kx, from = o / (out / groups) * (channels / groups) + c;
                        if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
                        sum += static_cast<double>(x[static_cast<size_t>(((n * channels + from) * height + iy) * width + ix)]) * w[static_cast<size_t>(o * depth + (c * kernel + ky) * kernel + kx)];
                      }
                    }
                  }
                  expected.push_back(sum > 0 ? sum : 0);
                }
              }
            }
          }
          check_all(output, expected, 1e-5, "convolution, groups " + std::to_string(groups) + " kernel " + std::to_string(kernel) + " stride " + std::to_string(stride));
        }
      }
    }
  }
}

CLIPENGINE_TEST(convolution_of_tokens_equals_its_twin) {
  for (int32_t isa : available_isas()) {
    const OwnedPass run = pass(isa);
    for (int64_t multiplier : {0, 1, 2}) {  // 0: every output looks at all channels
      for (int64_t kernel : {3, 7}) {
        for (int64_t stride : {1, 2}) {
          for (int32_t activation : {0, 4}) {  // none, ReLU
            const bool has_residual = activation != 0;
            // Channels that are read where they are, and some that are not.
            const int64_t batch = 2, channels = multiplier == 0 ? 5 : activation == 0 ? 16 : 19, out = multiplier == 0 ? 42 : channels * multiplier, height = 11, width = 13, padding = kernel / 2;
            const int64_t down = (height + 2 * padding - kernel) / stride + 1, across = (width + 2 * padding - kernel) / stride + 1, depth = (multiplier == 0 ? channels : 1) * kernel * kernel;
            const auto x = random_values(batch * height * width * channels, 1), w = random_values(out * depth, 2), b = random_values(out, 3), res = random_values(batch * down * across * out, 4);
            const OwnedWeight weight = multiplier == 0 ? matrix(w, out, depth, isa) : values(w), bias = values(b);
            Guarded input(x), residual(res), output(batch * down * across * out);
            clipengine_cpu_convolution call{input.data(), weight.get(), bias.get(), has_residual ? residual.data() : nullptr, output.data(), batch, channels, multiplier == 0 ? 1 : channels, height, width, kernel, kernel, stride, padding, activation};
            CHECK_EQUAL(clipengine_cpu_convolve_tokens(run.get(), &call, multiplier == 0 ? 0 : out), CLIPENGINE_OK);
            std::vector<double> expected;
            for (int64_t i = 0; i < batch * down * across * out; ++i) {
              const int64_t o = i % out, z = i / out % across, y = i / out / across % down, n = i / out / across / down;
              double sum = b[static_cast<size_t>(o)] + (has_residual ? res[static_cast<size_t>(i)] : 0.0f);
              for (int64_t d = 0; d < depth; ++d) {
                const int64_t iy = y * stride - padding + d / kernel % kernel, ix = z * stride - padding + d % kernel, from = multiplier == 0 ? d / kernel / kernel : o / multiplier;
                if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
                sum += static_cast<double>(x[static_cast<size_t>(((n * height + iy) * width + ix) * channels + from)]) * w[static_cast<size_t>(o * depth + d)];
              }
              expected.push_back(activation == 0 ? sum : std::max(0.0, sum));
            }
            check_all(output, expected, 2e-5, "convolution of tokens, multiplier " + std::to_string(multiplier) + " kernel " + std::to_string(kernel) + " stride " + std::to_string(stride));
          }
        }
      }
    }
  }
}

// Small batches share the weights between threads, large ones give each thread lines of its own.
CLIPENGINE_TEST(a_convolution_stack_has_the_same_bits_in_any_batch_and_with_any_number_of_threads) {
  // The second map is cut into three bands of lines.
  struct Size {
    int64_t height, width, hidden;
  };
  const int64_t batch = 6;
  for (const auto [height, width, hidden] : {Size{50, 9, 40}, Size{12, 60, 400}}) {
    for (int32_t isa : tested_isas()) {
      for (int32_t compute : {CLIPENGINE_FLOAT32, CLIPENGINE_BFLOAT16, CLIPENGINE_INT8}) {
        for (int64_t channels : {16, 19}) {
          const OwnedPass run = pass(isa, compute);
          const int64_t floats = height * width * channels;
          Guarded input(random_values(batch * floats, 1)), together(batch * floats);
          const OwnedWeight mixer = values(random_values(channels * 9, 2)), kernel = values(random_values(channels * 49, 3)), vector = values(random_values(channels, 4));
          const OwnedWeight expand = matrix(random_values(hidden * channels, 5), hidden, channels, isa, compute), inner = values(random_values(hidden, 6)),
                            contract = matrix(random_values(channels * hidden, 7), channels, hidden, isa, compute);
          clipengine_cpu_convolution_block block{mixer.get(), vector.get(), kernel.get(), vector.get(), vector.get(), vector.get(), expand.get(), inner.get(), contract.get(), vector.get(), vector.get(), 3, 7, 1, 1e-6f};
          clipengine_cpu_convolution_block second = block;
          second.mixer_kernel = second.norm_weight = second.norm_bias = second.scale = nullptr;
          const clipengine_cpu_convolution_block blocks[] = {block, second, block};
          clipengine::ThreadPool::instance().resize(1);
          CHECK_EQUAL(clipengine_cpu_convolution_stack(run.get(), input.data(), batch, height, width, channels, blocks, 3, together.data()), CLIPENGINE_OK);
          for (int threads : {1, 2, 5}) {
            clipengine::ThreadPool::instance().resize(threads);
            Guarded split(batch * floats);
            for (int64_t first = 0, count = 1; first < batch; first += count, ++count) {
              CHECK_EQUAL(clipengine_cpu_convolution_stack(run.get(), input.data() + first * floats, count, height, width, channels, blocks, 3, split.data() + first * floats), CLIPENGINE_OK);
            }
            CHECK(split.same_bits(together));
          }
        }
      }
    }
  }
  clipengine::ThreadPool::instance().resize(0);
}

CLIPENGINE_TEST(patches_are_cut_in_reading_order_and_the_rest_is_dropped) {
  for (int32_t isa : tested_isas()) {
    const OwnedPass run = pass(isa);
    const int64_t batch = 2, channels = 3, height = 17, width = 23, patch = 5, out = 7, depth = channels * patch * patch;
    const auto x = random_values(batch * channels * height * width, 1), w = random_values(out * depth, 2), b = random_values(out, 3);
    const OwnedWeight weight = matrix(w, out, depth, isa), bias = values(b);
    Guarded input(x), output(batch * 3 * 4 * out);
    CHECK_EQUAL(clipengine_cpu_patch_embedding(run.get(), input.data(), batch, channels, height, width, patch, weight.get(), bias.get(), output.data()), CLIPENGINE_OK);
    std::vector<double> expected;
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t p = 0; p < 12; ++p) {
        for (int64_t o = 0; o < out; ++o) {
          double sum = b[static_cast<size_t>(o)];
          for (int64_t i = 0; i < depth; ++i) {
            const int64_t c = i / (patch * patch), y = p / 4 * patch + i / patch % patch, z = p % 4 * patch + i % patch;
            sum += static_cast<double>(w[static_cast<size_t>(o * depth + i)]) * x[static_cast<size_t>(((n * channels + c) * height + y) * width + z)];
          }
          expected.push_back(sum);
        }
      }
    }
    check_all(output, expected, 1e-5, "patch embedding");
  }
}

CLIPENGINE_TEST(pooling_and_transposing_move_every_value_to_its_place) {
  const OwnedPass run = pass(best_isa());
  const auto x = random_values(3 * 7 * 9, 1);
  Guarded input(x), pooled(3 * 3 * 4), turned(3 * 7 * 9);
  CHECK_EQUAL(clipengine_cpu_average_pool(run.get(), input.data(), 3, 7, 9, 2, 2, 0, pooled.data()), CLIPENGINE_OK);
  CHECK_EQUAL(clipengine_cpu_transpose(run.get(), input.data(), 3, 7, 9, turned.data()), CLIPENGINE_OK);
  for (int64_t m = 0; m < 3; ++m) {
    for (int64_t y = 0; y < 3; ++y) {
      for (int64_t z = 0; z < 4; ++z) {
        double sum = 0;
        for (int64_t i = 0; i < 4; ++i) sum += x[static_cast<size_t>((m * 7 + 2 * y + i / 2) * 9 + 2 * z + i % 2)];
        CHECK_NEAR(pooled[(m * 3 + y) * 4 + z], sum / 4, 1e-6);
      }
    }
    for (int64_t r = 0; r < 7; ++r) {
      for (int64_t c = 0; c < 9; ++c) CHECK_EQUAL(turned[(m * 9 + c) * 7 + r], x[static_cast<size_t>((m * 7 + r) * 9 + c)]);
    }
  }
}

CLIPENGINE_TEST(pools_that_overlap_count_only_what_lies_inside) {
  const OwnedPass run = pass(best_isa());
  const auto x = random_values(3 * 7 * 8, 1);
  Guarded input(x), pooled(3 * 4 * 4);
  CHECK_EQUAL(clipengine_cpu_average_pool(run.get(), input.data(), 3, 7, 8, 3, 2, 1, pooled.data()), CLIPENGINE_OK);
  for (int64_t i = 0; i < 3 * 4 * 4; ++i) {
    double sum = 0, count = 0;
    for (int64_t r = 0; r < 3; ++r) {
      for (int64_t c = 0; c < 3; ++c) {
        const int64_t row = i / 4 % 4 * 2 - 1 + r, column = i % 4 * 2 - 1 + c;
        if (row < 0 || row >= 7 || column < 0 || column >= 8) continue;
        sum += x[static_cast<size_t>((i / 16 * 7 + row) * 8 + column)];
        ++count;
      }
    }
    CHECK_NEAR(pooled[i], sum / count, 1e-6);
  }
}

CLIPENGINE_TEST(tokens_are_gated_by_their_sequence) {
  const OwnedPass run = pass(best_isa());
  const int64_t batch = 2, tokens = 5, width = 19;
  const auto x = random_values(batch * tokens * width, 1), g = random_values(batch * width, 2);
  Guarded input(x), gates(g), output(batch * tokens * width);
  for (int32_t activation : {0, 4}) {  // none, ReLU
    CHECK_EQUAL(clipengine_cpu_gate_tokens(run.get(), input.data(), batch, tokens, width, gates.data(), activation, output.data()), CLIPENGINE_OK);
    for (int64_t i = 0; i < batch * tokens * width; ++i) {
      const double gated = x[static_cast<size_t>(i)] / (1 + std::exp(-static_cast<double>(g[static_cast<size_t>(i / width / tokens * width + i % width)])));
      CHECK_NEAR(output[i], activation == 0 ? gated : std::max(0.0, gated), 1e-6);
    }
  }
}

CLIPENGINE_TEST(tokens_are_looked_up_assembled_selected_and_averaged) {
  const OwnedPass run = pass(best_isa());
  const int64_t width = 17;
  const auto t = random_values(10 * width, 1), p = random_values(5 * width, 2), a = random_values(width, 3);
  const OwnedWeight table = values(t), positions = values(p), extra = values(a);
  const int32_t ids[] = {3, 9, 0, 1, 1, 2};
  Guarded embedded(2 * 4 * width), assembled(2 * 4 * width), selected(2 * width), mean(2 * width);
  CHECK_EQUAL(clipengine_cpu_token_embedding(run.get(), ids, 2, 3, 10, width, table.get(), extra.get(), clipengine_cpu_weight_values(positions.get()), embedded.data()), CLIPENGINE_OK);
  Guarded tokens(random_values(2 * 3 * width, 4));
  CHECK_EQUAL(clipengine_cpu_assemble_tokens(run.get(), tokens.data(), 2, 3, width, extra.get(), positions.get(), assembled.data()), CLIPENGINE_OK);
  const int32_t wanted[] = {2, 0};
  CHECK_EQUAL(clipengine_cpu_select_tokens(run.get(), tokens.data(), 2, 3, width, wanted, selected.data()), CLIPENGINE_OK);
  CHECK_EQUAL(clipengine_cpu_mean_tokens(run.get(), tokens.data(), 2, 3, width, mean.data()), CLIPENGINE_OK);
  for (int64_t n = 0; n < 2; ++n) {
    for (int64_t i = 0; i < width; ++i) {
      const auto at = [&](const std::vector<float>& from, int64_t row) { return from[static_cast<size_t>(row * width + i)]; };
      for (int64_t k = 0; k < 3; ++k) {
        CHECK_EQUAL(embedded[(n * 4 + k) * width + i], at(t, ids[n * 3 + k]) + at(p, k));
        CHECK_EQUAL(assembled[(n * 4 + k + 1) * width + i], tokens[(n * 3 + k) * width + i] + at(p, k + 1));
      }
      CHECK_EQUAL(embedded[(n * 4 + 3) * width + i], at(a, 0) + at(p, 3));
      CHECK_EQUAL(assembled[n * 4 * width + i], at(a, 0) + at(p, 0));
      CHECK_EQUAL(selected[n * width + i], tokens[(n * 3 + wanted[n]) * width + i]);
      CHECK_NEAR(mean[n * width + i], (tokens[n * 3 * width + i] + tokens[(n * 3 + 1) * width + i] + tokens[(n * 3 + 2) * width + i]) / 3.0, 1e-6);
    }
  }
  const int32_t outside[] = {3, 10, 0};
  CHECK_EQUAL(clipengine_cpu_token_embedding(run.get(), outside, 1, 3, 10, width, table.get(), nullptr, clipengine_cpu_weight_values(positions.get()), embedded.data()), CLIPENGINE_INVALID_ARGUMENT);
}

CLIPENGINE_TEST_MAIN()
