#include "cpu/rates.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "ceilings/arithmetic.h"
#include "clipengine_ceilings.h"
#include "clipengine_cpu.h"
#include "cpu/amx/support.h"

namespace clipengine::cpu {
namespace {

#if defined(__x86_64__)

// Processors that were measured (../shared/design/AMX.md and benchmarks/RESULTS.md): a table gives the same answer, and so the same features,
// every time.
struct Known {
  char vendor[13];
  unsigned family, first_model, last_model;
  double pairs, tiles;
};
constexpr Known kKnown[] = {
    {"GenuineIntel", 6, 207, 207, 0.49, 7.1},  // Emerald Rapids
    {"AuthenticAMD", 25, 17, 17, 2.0, 0},      // Zen 4, EPYC
    {"AuthenticAMD", 26, 0, 255, 2.0, 0},      // Zen 5
};

bool look_up(Known& found) {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(0, &eax, &ebx, &ecx, &edx) == 0) return false;
  char vendor[13] = {};
  std::memcpy(vendor, &ebx, 4);
  std::memcpy(vendor + 4, &edx, 4);
  std::memcpy(vendor + 8, &ecx, 4);
  __get_cpuid(1, &eax, &ebx, &ecx, &edx);
  const unsigned base = eax >> 8 & 15, family = base == 15 ? base + (eax >> 20 & 255) : base;
  const unsigned model = (eax >> 4 & 15) + (base == 6 || base == 15 ? (eax >> 12 & 0xf0) : 0);
  for (const Known& known : kKnown) {
    if (std::strcmp(vendor, known.vendor) == 0 && family == known.family && model >= known.first_model && model <= known.last_model) {
      found = known;
      return true;
    }
  }
  return false;
}

// Operations a second, the best of runs that take turns, so that a neighbour or a rising clock meets all alike.
void measure(const Arithmetic* loops, int count, double* best) {
  using Clock = std::chrono::steady_clock;
  const auto time = [&](const Arithmetic& arithmetic, int64_t rounds) {
    const auto start = Clock::now();
    arithmetic.loop(rounds);
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  constexpr int kTurns = 8;
  constexpr double kSeconds = 0.0007;
  int64_t rounds[3];
  for (int i = 0; i < count; ++i) {
    best[i] = 0;
    time(loops[i], 1000);
    rounds[i] = std::clamp<int64_t>(static_cast<int64_t>(kSeconds * 1000 / std::max(time(loops[i], 1000), 1e-7)), 100, 200000);
  }
  for (int turn = 0; turn < kTurns; ++turn) {
    for (int i = 0; i < count; ++i) best[i] = std::max(best[i], static_cast<double>(rounds[i]) * loops[i].operations / time(loops[i], rounds[i]));
  }
}

#endif

Rates find() {
  Rates found{0, 0, false};
#if defined(__x86_64__)
  const bool pairs = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni"), tiles = amx_support().usable;
  if (!pairs && !tiles) return found;
  Known known;
  if (look_up(known)) {
    found.pairs = pairs ? known.pairs : 0;
    found.tiles = tiles ? known.tiles : 0;
    if ((!pairs || known.pairs > 0) && (!tiles || known.tiles > 0)) return found;
  }
  Arithmetic loops[3] = {arithmetic_of(CLIPENGINE_CEILING_FLOAT32, CLIPENGINE_CPU_AVX512)};
  int count = 1;
  if (pairs) loops[count++] = arithmetic_of(CLIPENGINE_CEILING_BFLOAT16, CLIPENGINE_CPU_AVX512_BF16);
  if (tiles) loops[count++] = arithmetic_of(CLIPENGINE_CEILING_BFLOAT16, CLIPENGINE_CPU_AMX);
  double rates[3];
  measure(loops, count, rates);
  found.pairs = pairs ? rates[1] / rates[0] : 0;
  found.tiles = tiles ? rates[count - 1] / rates[0] : 0;
  found.measured = true;
#endif
  return found;
}

}  // namespace

const Rates& rates() {
  static const Rates found = find();
  return found;
}

}  // namespace clipengine::cpu
