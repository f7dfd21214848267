#include "clipengine_ceilings.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "ceilings/arithmetic.h"
#include "core/status.h"
#include "core/thread_pool.h"
#include "cpu/amx/loops.h"
#include "cpu/isa.h"
#include "cpu/memory.h"

namespace {

using Clock = std::chrono::steady_clock;

// Sixteen sums that do not wait for each other, enough for any processor's latency times its units. The empty statement makes the
// compiler believe that each is used, so that none is merged or left out.
#define CLIPENGINE_SIXTEEN(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)
constexpr int64_t kSums = 16;

typedef float Quad __attribute__((vector_size(16)));

#if defined(__x86_64__)
#define CLIPENGINE_REGISTER "x"
#define CLIPENGINE_WIDE_REGISTER "v"
#else
#define CLIPENGINE_REGISTER "w"
#endif

// The baseline has no fused instruction: a product and a sum.
void multiply_add(int64_t rounds) {
  const Quad factor = {0.999f, 0.999f, 0.999f, 0.999f}, step = {0.001f, 0.001f, 0.001f, 0.001f};
#define CLIPENGINE_DECLARE(i) Quad sum##i = {i, i, i, i};
#define CLIPENGINE_STEP(i) \
  sum##i = sum##i * factor + step; \
  asm volatile("" : "+" CLIPENGINE_REGISTER(sum##i));
  CLIPENGINE_SIXTEEN(CLIPENGINE_DECLARE)
  for (int64_t round = 0; round < rounds; ++round) {
    CLIPENGINE_SIXTEEN(CLIPENGINE_STEP)
  }
#undef CLIPENGINE_DECLARE
#undef CLIPENGINE_STEP
}

#if defined(__x86_64__)

__attribute__((target("avx2,fma"))) void fused_avx2(int64_t rounds) {
  const __m256 factor = _mm256_set1_ps(0.999f), step = _mm256_set1_ps(0.001f);
#define CLIPENGINE_DECLARE(i) __m256 sum##i = _mm256_set1_ps(i);
#define CLIPENGINE_STEP(i) \
  sum##i = _mm256_fmadd_ps(sum##i, factor, step); \
  asm volatile("" : "+x"(sum##i));
  // Twelve: with factor and step sixteen would not fit the registers.
#define CLIPENGINE_TWELVE(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
  CLIPENGINE_TWELVE(CLIPENGINE_DECLARE)
  for (int64_t round = 0; round < rounds; ++round) {
    CLIPENGINE_TWELVE(CLIPENGINE_STEP)
  }
#undef CLIPENGINE_DECLARE
#undef CLIPENGINE_STEP
#undef CLIPENGINE_TWELVE
}

__attribute__((target("avx512f"))) void fused_avx512(int64_t rounds) {
  const __m512 factor = _mm512_set1_ps(0.999f), step = _mm512_set1_ps(0.001f);
#define CLIPENGINE_DECLARE(i) __m512 sum##i = _mm512_set1_ps(i);
#define CLIPENGINE_STEP(i) \
  sum##i = _mm512_fmadd_ps(sum##i, factor, step); \
  asm volatile("" : "+" CLIPENGINE_WIDE_REGISTER(sum##i));
  CLIPENGINE_SIXTEEN(CLIPENGINE_DECLARE)
  for (int64_t round = 0; round < rounds; ++round) {
    CLIPENGINE_SIXTEEN(CLIPENGINE_STEP)
  }
#undef CLIPENGINE_DECLARE
#undef CLIPENGINE_STEP
}

__attribute__((target("avx512f,avx512bf16"))) void pairs_bf16(int64_t rounds) {
  const __m512bh one = (__m512bh)_mm512_set1_epi16(0x3f80), small = (__m512bh)_mm512_set1_epi16(0x3a83);
#define CLIPENGINE_DECLARE(i) __m512 sum##i = _mm512_set1_ps(i);
#define CLIPENGINE_STEP(i) \
  sum##i = _mm512_dpbf16_ps(sum##i, one, small); \
  asm volatile("" : "+" CLIPENGINE_WIDE_REGISTER(sum##i));
  CLIPENGINE_SIXTEEN(CLIPENGINE_DECLARE)
  for (int64_t round = 0; round < rounds; ++round) {
    CLIPENGINE_SIXTEEN(CLIPENGINE_STEP)
  }
#undef CLIPENGINE_DECLARE
#undef CLIPENGINE_STEP
}

__attribute__((target("avx512f,avx512vnni"))) void quads_int8(int64_t rounds) {
  const __m512i left = _mm512_set1_epi8(3), right = _mm512_set1_epi8(-2);
#define CLIPENGINE_DECLARE(i) __m512i sum##i = _mm512_set1_epi32(i);
#define CLIPENGINE_STEP(i) \
  sum##i = _mm512_dpbusd_epi32(sum##i, left, right); \
  asm volatile("" : "+" CLIPENGINE_WIDE_REGISTER(sum##i));
  CLIPENGINE_SIXTEEN(CLIPENGINE_DECLARE)
  for (int64_t round = 0; round < rounds; ++round) {
    CLIPENGINE_SIXTEEN(CLIPENGINE_STEP)
  }
#undef CLIPENGINE_DECLARE
#undef CLIPENGINE_STEP
}

#elif defined(__aarch64__)

// In assembly: the compiler would want each loop in a file with flags of its own.
#define CLIPENGINE_LOOP(name, vector, extension, instruction)                                                    \
  void name(int64_t rounds) {                                                                                    \
    const vector left = {}, right = {};                                                                          \
    vector sums[kSums] = {};                                                                                     \
    for (int64_t round = 0; round < rounds; ++round) {                                                           \
      for (int i = 0; i < kSums; ++i) asm volatile(extension instruction : "+w"(sums[i]) : "w"(left), "w"(right)); \
    }                                                                                                            \
  }
CLIPENGINE_LOOP(fused_neon, float32x4_t, "", "fmla %0.4s, %1.4s, %2.4s")
CLIPENGINE_LOOP(quads_int8, int32x4_t, ".arch armv8.2-a+dotprod+i8mm+bf16\n", "sdot %0.4s, %1.16b, %2.16b")
CLIPENGINE_LOOP(matrices_int8, int32x4_t, ".arch armv8.2-a+dotprod+i8mm+bf16\n", "smmla %0.4s, %1.16b, %2.16b")
CLIPENGINE_LOOP(matrices_bf16, float32x4_t, ".arch armv8.2-a+dotprod+i8mm+bf16\n", "bfmmla %0.4s, %1.8h, %2.8h")
#undef CLIPENGINE_LOOP

#endif

}  // namespace

namespace clipengine {

Arithmetic arithmetic_of(int32_t ceiling, [[maybe_unused]] int32_t isa) {
  if (isa == CLIPENGINE_CPU_AMX_EMULATED) {
    if (ceiling != CLIPENGINE_CEILING_FLOAT32) throw Error(CLIPENGINE_UNSUPPORTED, "an instruction in software has no highest rate");
    isa = cpu::vector_isa_of(isa);
  }
#if defined(CLIPENGINE_HAS_AMX)
  if (ceiling == CLIPENGINE_CEILING_BFLOAT16 && isa == CLIPENGINE_CPU_AMX) return {cpu::amx_pairs_loop, cpu::kAmxPairsOperations};
  if (ceiling == CLIPENGINE_CEILING_INT8 && isa == CLIPENGINE_CPU_AMX) return {cpu::amx_bytes_loop, cpu::kAmxBytesOperations};
#endif
#if defined(__x86_64__)
  if (ceiling == CLIPENGINE_CEILING_BFLOAT16 && isa >= CLIPENGINE_CPU_AVX512_BF16) return {pairs_bf16, kSums * 16 * 2 * 2};
  if (ceiling == CLIPENGINE_CEILING_INT8 && isa >= CLIPENGINE_CPU_AVX512_VNNI) return {quads_int8, kSums * 16 * 4 * 2};
  if (ceiling == CLIPENGINE_CEILING_FLOAT32 && isa >= CLIPENGINE_CPU_AVX512) return {fused_avx512, kSums * 16 * 2};
  if (ceiling == CLIPENGINE_CEILING_FLOAT32 && isa >= CLIPENGINE_CPU_AVX2) return {fused_avx2, 12 * 8 * 2};
#elif defined(__aarch64__)
  if (ceiling == CLIPENGINE_CEILING_BFLOAT16 && isa >= CLIPENGINE_CPU_NEON_MATRIX) return {matrices_bf16, kSums * 16 * 2};
  if (ceiling == CLIPENGINE_CEILING_INT8 && isa >= CLIPENGINE_CPU_NEON_MATRIX) return {matrices_int8, kSums * 32 * 2};
  if (ceiling == CLIPENGINE_CEILING_INT8 && isa >= CLIPENGINE_CPU_NEON_DOT) return {quads_int8, kSums * 16 * 2};
  if (ceiling == CLIPENGINE_CEILING_FLOAT32 && isa >= CLIPENGINE_CPU_NEON) return {fused_neon, kSums * 4 * 2};
#endif
  if (ceiling == CLIPENGINE_CEILING_FLOAT32) return {multiply_add, kSums * 4 * 2};
  throw Error(CLIPENGINE_UNSUPPORTED, "this instruction set has no such instruction");
}

}  // namespace clipengine

namespace {

using clipengine::Arithmetic;

// The best rate of several runs; work(parts) does parts * unit.
template <typename Work>
double best_rate(double seconds, double unit, const Work& work) {
  constexpr int kRuns = 6;
  const auto time = [&](int64_t parts) {
    const auto start = Clock::now();
    work(parts);
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  int64_t parts = 1;
  double taken = time(parts);  // wakes the threads and the clock up
  while ((taken = time(parts)) < seconds / kRuns / 4 && parts < (int64_t{1} << 40)) parts *= 2;
  parts = std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(parts) * (seconds / kRuns) / taken));
  double best = 0;
  for (int run = 0; run < kRuns; ++run) best = std::max(best, static_cast<double>(parts) * unit / time(parts));
  return best;
}

// In pieces, so that a thread that is held up does not hold up the whole.
constexpr int64_t kPiecesOfAThread = 8;

double measure_arithmetic(const Arithmetic& arithmetic, double seconds) {
  constexpr int64_t kRounds = 2000;
  const int64_t pieces = kPiecesOfAThread * clipengine::ThreadPool::instance().size();
  return best_rate(seconds, static_cast<double>(pieces * kRounds) * arithmetic.operations, [&](int64_t parts) {
    clipengine::parallel_for(pieces, [&](int64_t, int) { arithmetic.loop(parts * kRounds); });
  });
}

double measure_memory(double seconds) {
  const clipengine::cpu::Buffer buffer(CLIPENGINE_CEILING_MEMORY_BYTES);
  constexpr int64_t kPiece = int64_t{4} << 20, kPieces = CLIPENGINE_CEILING_MEMORY_BYTES / kPiece;
  clipengine::parallel_for(kPieces, [&](int64_t piece, int) { std::memset(buffer.as<char>() + piece * kPiece, 1, kPiece); });
  return best_rate(seconds, CLIPENGINE_CEILING_MEMORY_BYTES, [&](int64_t parts) {
    for (int64_t part = 0; part < parts; ++part) {
      clipengine::parallel_for(kPieces, [&](int64_t piece, int) {
        const Quad* values = reinterpret_cast<const Quad*>(buffer.as<char>() + piece * kPiece);
        Quad sums[8] = {};
        for (int64_t i = 0; i < kPiece / 16; i += 8) {
          for (int j = 0; j < 8; ++j) sums[j] += values[i + j];
        }
        for (int j = 1; j < 8; ++j) sums[0] += sums[j];
        asm volatile("" : "+" CLIPENGINE_REGISTER(sums[0]));
      });
    }
  });
}

}  // namespace

extern "C" clipengine_status clipengine_ceiling_measure(int32_t ceiling, int32_t isa, double seconds, double* per_second) noexcept {
  return clipengine::guard([&] {
    if (ceiling < 0 || ceiling >= CLIPENGINE_CEILING_COUNT || !(seconds > 0)) throw clipengine::Error(CLIPENGINE_INVALID_ARGUMENT, "no such ceiling, or no time to measure it");
    clipengine::cpu::require_isa(isa);
    *per_second = ceiling == CLIPENGINE_CEILING_MEMORY_READ ? measure_memory(seconds) : measure_arithmetic(clipengine::arithmetic_of(ceiling, isa), seconds);
  });
}
