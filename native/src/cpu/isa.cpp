#include "cpu/isa.h"

#include "core/status.h"
#include "cpu/amx/support.h"
#include "cpu/rates.h"

namespace clipengine::cpu {

namespace {

int32_t choose() {
  const bool tiles = amx_support().usable, pairs = processor_has(CLIPENGINE_CPU_AVX512_BF16);
  if (tiles || pairs) {
    const Rates& found = rates();
    if (tiles && found.tiles >= 1 && found.tiles >= found.pairs) return CLIPENGINE_CPU_AMX;
    if (pairs && found.pairs >= 1) return CLIPENGINE_CPU_AVX512_BF16;
    return CLIPENGINE_CPU_AVX512_VNNI;  // bf16 is widened to fp32, which is faster than the instruction
  }
  int32_t best = CLIPENGINE_CPU_PORTABLE;
  for (int32_t isa = best; isa <= CLIPENGINE_CPU_NEON_MATRIX; ++isa) {
    if (processor_has(isa)) best = isa;
  }
  return best;
}

}  // namespace

std::string why_not(int32_t isa) {
  if (isa == CLIPENGINE_CPU_AMX) return amx_support().reason;
  return processor_has(isa) ? "" : "this processor lacks it";
}

void require_isa(int32_t isa) {
  if (isa < 0 || isa >= CLIPENGINE_CPU_ISA_COUNT) throw Error(CLIPENGINE_UNSUPPORTED, "there is no such instruction set");
  const std::string reason = why_not(isa);
  if (!reason.empty()) throw Error(CLIPENGINE_UNSUPPORTED, std::string(clipengine_cpu_isa_name(isa)) + " is not there: " + reason);
}

std::vector<int32_t> available_isas() {
  std::vector<int32_t> found;
  for (int32_t isa = 0; isa < CLIPENGINE_CPU_ISA_COUNT; ++isa) {
    if (why_not(isa).empty()) found.push_back(isa);
  }
  return found;
}

int32_t best_isa() {
  static const int32_t best = choose();
  return best;
}

int32_t default_isa() {
  const char* wanted = isa_of_environment();
  if (wanted == nullptr) return best_isa();
  const int32_t isa = isa_of_name(wanted, "CLIPENGINE_CPU");
  const std::string reason = why_not(isa);
  if (!reason.empty()) throw_missing(isa, "CLIPENGINE_CPU", reason, best_isa());
  return isa;
}

}  // namespace clipengine::cpu

extern "C" int32_t clipengine_cpu_isa_best(void) noexcept {
  try {
    return clipengine::cpu::best_isa();
  } catch (...) {
    return CLIPENGINE_CPU_PORTABLE;
  }
}

extern "C" clipengine_status clipengine_cpu_isa_check(int32_t isa) noexcept {
  return clipengine::guard([&] { clipengine::cpu::require_isa(isa); });
}

extern "C" clipengine_status clipengine_cpu_isa_default(int32_t* isa) noexcept {
  return clipengine::guard([&] { *isa = clipengine::cpu::default_isa(); });
}

extern "C" clipengine_status clipengine_cpu_rates_get(clipengine_cpu_rates* rates) noexcept {
  return clipengine::guard([&] {
    const clipengine::cpu::Rates& found = clipengine::cpu::rates();
    *rates = {found.pairs, found.tiles, found.source};
  });
}

extern "C" const char* clipengine_cpu_rates_file(void) noexcept {
  try {
    return clipengine::cpu::rates_file().c_str();
  } catch (...) {
    return "";
  }
}
