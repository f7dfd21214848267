#include "cpu/isa.h"

#include <cstdlib>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "core/status.h"

namespace clipengine::cpu {

namespace {

constexpr const char* kNames[CLIPENGINE_CPU_ISA_COUNT] = {"portable", "avx2", "avx512", "avx512_vnni", "avx512_bf16", "neon", "neon_dot", "neon_matrix"};

}  // namespace

// __builtin_cpu_supports also asks the operating system whether it saves the registers.
bool processor_has(int32_t isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  switch (isa) {
    case CLIPENGINE_CPU_PORTABLE: return true;
    case CLIPENGINE_CPU_AVX2: return avx2;
    case CLIPENGINE_CPU_AVX512: return avx512;
    case CLIPENGINE_CPU_AVX512_VNNI: return vnni;
    case CLIPENGINE_CPU_AVX512_BF16: return vnni && __builtin_cpu_supports("avx512bf16");
    default: return false;
  }
#elif defined(__aarch64__)
  const bool dot = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  const bool matrix = (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0 && (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0;
  switch (isa) {
    case CLIPENGINE_CPU_PORTABLE: return true;
    case CLIPENGINE_CPU_NEON: return true;
    case CLIPENGINE_CPU_NEON_DOT: return dot;
    case CLIPENGINE_CPU_NEON_MATRIX: return dot && matrix;
    default: return false;
  }
#else
  return isa == CLIPENGINE_CPU_PORTABLE;
#endif
}

std::vector<int32_t> available_isas() {
  std::vector<int32_t> found;
  for (int32_t isa = 0; isa < CLIPENGINE_CPU_ISA_COUNT; ++isa) {
    if (processor_has(isa)) found.push_back(isa);
  }
  return found;
}

int32_t best_isa() {
  static const int32_t best = available_isas().back();
  return best;
}

int32_t default_isa() {
  const char* wanted = std::getenv("CLIPENGINE_CPU");
  if (wanted == nullptr || *wanted == '\0') return best_isa();
  for (int32_t isa = 0; isa < CLIPENGINE_CPU_ISA_COUNT; ++isa) {
    if (std::string(wanted) != kNames[isa]) continue;
    if (!processor_has(isa)) {
      throw Error(CLIPENGINE_BAD_INPUT, std::string("CLIPENGINE_CPU asks for ") + wanted + ", which this processor lacks; the best it has is " + kNames[best_isa()] + ".");
    }
    return isa;
  }
  throw Error(CLIPENGINE_BAD_INPUT, "CLIPENGINE_CPU names no instruction set: expected portable, avx2, avx512, avx512_vnni or avx512_bf16; on Arm64 portable, neon, neon_dot or neon_matrix.");
}

}  // namespace clipengine::cpu

extern "C" int32_t clipengine_cpu_isa_best(void) noexcept {
  try {
    return clipengine::cpu::best_isa();
  } catch (...) {
    return CLIPENGINE_CPU_PORTABLE;
  }
}

extern "C" clipengine_status clipengine_cpu_isa_default(int32_t* isa) noexcept {
  return clipengine::guard([&] { *isa = clipengine::cpu::default_isa(); });
}

extern "C" const char* clipengine_cpu_isa_name(int32_t isa) noexcept {
  return isa >= 0 && isa < CLIPENGINE_CPU_ISA_COUNT ? clipengine::cpu::kNames[isa] : nullptr;
}
