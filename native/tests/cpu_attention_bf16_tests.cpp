// Attention of every set that has one in bf16, VDPBF16PS in software and the emulated tile registers among them.
#include "core/thread_pool.h"
#include "cpu/pass.h"
#include "cpu_reference.h"
#include "cpu_support.h"

namespace clipengine::cpu {
extern const Kernels kBf16PairsInSoftware;
}

using namespace cpu_test;

namespace {

std::vector<const Kernels*> bf16_attentions() {
  std::vector<const Kernels*> found;
  for (int32_t isa : available_isas()) {
    const Kernels& kernels = kernels_of(isa);
    if (kernels.attention_bf16 != nullptr) found.push_back(&kernels);
    if (isa == CLIPENGINE_CPU_AVX512_VNNI) found.push_back(&kBf16PairsInSoftware);
  }
  return found;
}

OwnedPass bf16_pass(const Kernels& kernels, bool bf16 = true) {
  auto made = std::make_unique<clipengine_cpu_pass>();
  made->kernels = &kernels;
  made->attention_in_bf16 = bf16;
  return OwnedPass(made.release());
}

}  // namespace

CLIPENGINE_TEST(attention_in_bf16_equals_its_twin_on_rounded_operands) {
  for (const Kernels* kernels : bf16_attentions()) {
    const OwnedPass run = bf16_pass(*kernels);
    for (int64_t tokens : {1, 7, 16, 17, 31, 33, 38, 50, 77, 130, 197, 257, 600}) {
      for (int64_t width : {8, 17, 64, 80}) {
        for (int variant = 0; variant < 4; ++variant) {
          if (tokens > 130 && (width != 64 || kernels->matrix_tiles)) continue;  // long in software
          const bool causal = variant == 1 || variant == 3, masked = variant >= 2;
          const int64_t heads = 2, all = heads * width, batch = 2;
          const auto x = random_values(batch * tokens * 3 * all, 1, 2.0f);
          auto mask = random_values(batch * tokens * tokens, 2);
          for (int64_t i = 0; i < batch * tokens * tokens; ++i) {
            if (i % tokens != 0 && mask[static_cast<size_t>(i)] > 0.3f) mask[static_cast<size_t>(i)] = -INFINITY;  // the first key stays visible
          }
          Guarded input(x), additive(mask), output(batch * tokens * all);
          clipengine_cpu_attention call = self_attention(input.data(), output.data(), batch, tokens, all, heads, causal);
          call.mask = masked ? additive.data() : nullptr;
          CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
          // The twin takes keys and values as they were rounded; queries are rounded too and the exponentials behind the
          // softmax's, each by at most 2^-9 of itself. Scores reach a few units: so much may an exponential be off, relatively.
          const auto r = rounded(x);
          std::vector<double> expected(static_cast<size_t>(batch * tokens * all));
          double largest = 0;
          for (int64_t n = 0; n < batch; ++n) {
            for (int64_t h = 0; h < heads; ++h) {
              const float* q = x.data() + n * tokens * 3 * all + h * width;
              const float* k = r.data() + n * tokens * 3 * all + all + h * width;
              const auto one = reference::attention(q, k, k + all, 3 * all, 3 * all, tokens, tokens, width, causal, masked ? mask.data() + n * tokens * tokens : nullptr);
              for (int64_t t = 0; t < tokens; ++t) {
                for (int64_t d = 0; d < width; ++d) {
                  expected[static_cast<size_t>((n * tokens + t) * all + h * width + d)] = one[static_cast<size_t>(t * width + d)];
                  largest = std::max(largest, std::abs(one[static_cast<size_t>(t * width + d)]));
                }
              }
            }
          }
          check_all(output, expected, 0.01 * largest, std::string("attention in bf16, ") + kernels->name + ", tokens " + std::to_string(tokens) + " width " + std::to_string(width) + " variant " + std::to_string(variant));
        }
      }
    }
  }
}

// A token's bits depend neither on the tokens that are computed beside it nor on the threads.
CLIPENGINE_TEST(attention_in_bf16_has_the_same_bits_for_one_query_and_for_all) {
  const int64_t tokens = 53, width = 64, heads = 3, all = heads * width, batch = 3;
  const auto x = random_values(batch * tokens * 3 * all, 1, 2.0f);
  for (const Kernels* kernels : bf16_attentions()) {
    const OwnedPass run = bf16_pass(*kernels);
    for (bool causal : {false, true}) {
      Guarded input(x), together(batch * tokens * all);
      clipengine_cpu_attention call = self_attention(input.data(), together.data(), batch, tokens, all, heads, causal);
      clipengine::ThreadPool::instance().resize(1);
      CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
      clipengine::ThreadPool::instance().resize(3);
      Guarded alone(all);
      for (int64_t n = 0; n < batch; ++n) {
        for (int64_t t = 0; t < tokens; t += 4) {
          clipengine_cpu_attention one = call;
          one.query = call.query + (n * tokens + t) * 3 * all;
          one.key = call.key + n * tokens * 3 * all;
          one.value = call.value + n * tokens * 3 * all;
          one.output = alone.data();
          one.batch = one.queries = 1;
          one.offset = t;
          CHECK_EQUAL(clipengine_cpu_attend(run.get(), &one), CLIPENGINE_OK);
          CHECK_EQUAL(std::memcmp(alone.data(), together.data() + (n * tokens + t) * all, static_cast<size_t>(all) * sizeof(float)), 0);
        }
      }
    }
  }
  clipengine::ThreadPool::instance().resize(0);
}

// Keys and values of one sequence for queries of many, in both types: each sequence gets what it would get alone, whatever its length.
CLIPENGINE_TEST(shared_keys_serve_the_queries_of_all_sequences) {
  const int64_t heads = 2, batch = 3;
  for (const Kernels* kernels : bf16_attentions()) {
    for (bool bf16 : {false, true}) {
      const OwnedPass run = bf16_pass(*kernels, bf16);
      for (int64_t keys : {1, 2, 16, 18, 33, 38, 50, 130}) {
        for (int64_t queries : {1, 5, 29}) {
          for (int64_t width : {17, 64}) {
            if (keys > 50 && kernels->matrix_tiles && width != 64) continue;  // long in software
            const int64_t all = heads * width;
            const auto q = random_values(batch * queries * all, 1, 2.0f), k = random_values(keys * all, 2, 2.0f), v = random_values(keys * all, 3);
            const std::vector<int32_t> lengths = {static_cast<int32_t>(keys), static_cast<int32_t>((keys + 1) / 2), 0};
            for (const int32_t* visible : {static_cast<const int32_t*>(nullptr), lengths.data()}) {
              Guarded query(q), key(k), value(v), output(batch * queries * all), alone(queries * all);
              clipengine_cpu_attention call{query.data(), key.data(), value.data(), nullptr, output.data(), all, all, all, batch, queries, keys, all, heads, 0, 0, visible, 1, 0, 0};
              CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
              const auto rounded_k = bf16 ? rounded(k) : k, rounded_v = bf16 ? rounded(v) : v;
              std::vector<double> expected(static_cast<size_t>(batch * queries * all));
              double largest = 0;
              for (int64_t n = 0; n < batch; ++n) {
                const int64_t seen = visible == nullptr ? keys : visible[n];
                for (int64_t h = 0; h < heads && seen > 0; ++h) {
                  const auto one = reference::attention(q.data() + n * queries * all + h * width, rounded_k.data() + h * width, rounded_v.data() + h * width, all, all, queries, seen, width, false, nullptr);
                  for (int64_t i = 0; i < queries * width; ++i) {
                    expected[static_cast<size_t>((n * queries + i / width) * all + h * width + i % width)] = one[static_cast<size_t>(i)];
                    largest = std::max(largest, std::abs(one[static_cast<size_t>(i)]));
                  }
                }
                clipengine_cpu_attention one = call;
                one.query = call.query + n * queries * all;
                one.output = alone.data();
                one.batch = 1;
                one.key_lengths = visible == nullptr ? nullptr : visible + n;
                CHECK_EQUAL(clipengine_cpu_attend(run.get(), &one), CLIPENGINE_OK);
                CHECK_EQUAL(std::memcmp(alone.data(), output.data() + n * queries * all, static_cast<size_t>(queries * all) * sizeof(float)), 0);
              }
              check_all(output, expected, bf16 ? 0.01 * largest : 4e-6,
                        std::string("shared keys, ") + kernels->name + (bf16 ? " in bf16" : "") + ", keys " + std::to_string(keys) + " queries " + std::to_string(queries) + " width " + std::to_string(width));
            }
          }
        }
      }
    }
  }
}

// What no sequence may see may be anything, infinities and NaN too: nothing times them is not nothing.
CLIPENGINE_TEST(hidden_shared_keys_may_be_anything) {
  const int64_t heads = 2, batch = 3, queries = 29, width = 64, all = heads * width;
  for (const Kernels* kernels : bf16_attentions()) {
    for (bool bf16 : {false, true}) {
      const OwnedPass run = bf16_pass(*kernels, bf16);
      for (int64_t keys : {2, 16, 17, 18, 32, 38, 50, 64, 130}) {
        for (int64_t visible : {keys - 1, keys / 2}) {
          const std::vector<int32_t> lengths = {static_cast<int32_t>(visible), static_cast<int32_t>(visible / 2), 1};
          Guarded query(random_values(batch * queries * all, 1, 2.0f)), key(random_values(keys * all, 2, 2.0f)), value(random_values(keys * all, 3)), before(batch * queries * all), after(batch * queries * all);
          clipengine_cpu_attention call{query.data(), key.data(), value.data(), nullptr, before.data(), all, all, all, batch, queries, keys, all, heads, 0, 0, lengths.data(), 1, 0, 0};
          CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
          for (int64_t i = visible * all; i < keys * all; ++i) {
            key.data()[i] = i % 3 == 0 ? -INFINITY : INFINITY;
            value.data()[i] = i % 2 == 0 ? INFINITY : std::nanf("");
          }
          call.output = after.data();
          CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
          CHECK(after.same_bits(before));
          for (int64_t i = 0; i < after.size(); ++i) CHECK(std::isfinite(after[i]));
        }
      }
    }
  }
}

CLIPENGINE_TEST(hidden_keys_are_not_attended_to_in_bf16) {
  const int64_t tokens = 40, width = 32, batch = 2;
  auto x = random_values(batch * tokens * 3 * width, 1);
  const std::vector<int32_t> lengths = {0, 21};
  for (const Kernels* kernels : bf16_attentions()) {
    const OwnedPass run = bf16_pass(*kernels);
    Guarded before(batch * tokens * width), after(batch * tokens * width);
    for (Guarded* output : {&before, &after}) {
      Guarded input(x);
      clipengine_cpu_attention call = self_attention(input.data(), output->data(), batch, tokens, width, 1, false);
      call.key_lengths = lengths.data();
      CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
      for (int64_t t = 21; t < tokens; ++t) {  // what is hidden may be anything
        for (int64_t i = width; i < 3 * width; ++i) x[static_cast<size_t>((tokens + t) * 3 * width + i)] = 1e30f;
      }
    }
    CHECK(before.same_bits(after));
    for (int64_t i = 0; i < tokens * width; ++i) CHECK_EQUAL(before[i], 0.0f);
  }
}

CLIPENGINE_TEST_MAIN()
