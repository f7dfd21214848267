#include "cpu/isa_names.h"

#include <cstdlib>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "core/status.h"

namespace clipengine::cpu {
namespace {

constexpr const char* kNames[CLIPENGINE_CPU_ISA_COUNT] = {"portable", "avx2", "avx512", "avx512_vnni", "avx512_bf16", "neon", "neon_dot", "neon_matrix", "amx", "amx_emulated"};

}  // namespace

// __builtin_cpu_supports also asks the operating system whether it saves the registers.
bool processor_has(int32_t isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  switch (isa) {
    case CLIPENGINE_CPU_AVX2: return avx2;
    case CLIPENGINE_CPU_AVX512: return avx512;
    case CLIPENGINE_CPU_AVX512_VNNI: return vnni;
    case CLIPENGINE_CPU_AVX512_BF16: return vnni && __builtin_cpu_supports("avx512bf16");
  }
#elif defined(__aarch64__)
  const bool dot = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  const bool matrix = (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0 && (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0;
  switch (isa) {
    case CLIPENGINE_CPU_NEON: return true;
    case CLIPENGINE_CPU_NEON_DOT: return dot;
    case CLIPENGINE_CPU_NEON_MATRIX: return dot && matrix;
  }
#endif
  return isa == CLIPENGINE_CPU_PORTABLE || isa == CLIPENGINE_CPU_AMX_EMULATED;
}

int32_t isa_of_name(const std::string& name, const std::string& from) {
  std::string all;
  for (int32_t isa = 0; isa < CLIPENGINE_CPU_ISA_COUNT; ++isa) {
    if (name == kNames[isa]) return isa;
    all += std::string(isa == 0 ? "" : isa + 1 < CLIPENGINE_CPU_ISA_COUNT ? ", " : " or ") + kNames[isa];
  }
  throw Error(CLIPENGINE_BAD_INPUT, from + " names no instruction set: expected " + all + ".");
}

void throw_missing(int32_t isa, const std::string& from, const std::string& reason, int32_t best) {
  throw Error(CLIPENGINE_BAD_INPUT, from + " asks for " + kNames[isa] + ", which is not there: " + reason + ". The best that is there is " + kNames[best] + ".");
}

const char* isa_of_environment() {
  const char* wanted = std::getenv("CLIPENGINE_CPU");
  return wanted == nullptr || *wanted == '\0' ? nullptr : wanted;
}

int32_t vector_isa_of(int32_t isa) {
  if (isa == CLIPENGINE_CPU_AMX) return CLIPENGINE_CPU_AVX512_VNNI;
  if (isa != CLIPENGINE_CPU_AMX_EMULATED) return isa;
  return processor_has(CLIPENGINE_CPU_AVX512) ? CLIPENGINE_CPU_AVX512 : CLIPENGINE_CPU_PORTABLE;
}

int32_t default_vector_isa() {
  int32_t best = CLIPENGINE_CPU_PORTABLE;
  for (int32_t isa = best; isa <= CLIPENGINE_CPU_NEON_MATRIX; ++isa) {
    if (processor_has(isa)) best = isa;
  }
  const char* wanted = isa_of_environment();
  if (wanted == nullptr) return best;
  const int32_t isa = isa_of_name(wanted, "CLIPENGINE_CPU"), vectors = vector_isa_of(isa);
  if (!processor_has(vectors)) throw_missing(isa, "CLIPENGINE_CPU", "this processor lacks it", best);
  return vectors;
}

}  // namespace clipengine::cpu

extern "C" const char* clipengine_cpu_isa_name(int32_t isa) noexcept {
  return isa >= 0 && isa < CLIPENGINE_CPU_ISA_COUNT ? clipengine::cpu::kNames[isa] : nullptr;
}
