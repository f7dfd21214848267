// Which table of kernels belongs to an instruction set.
#include "core/status.h"
#include "cpu/isa.h"

namespace clipengine::cpu {

extern const Kernels kPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels, kAvx512Kernels, kAvx512VnniKernels, kAvx512Bf16Kernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels, kNeonDotKernels, kNeonMatrixKernels;
#endif

namespace {

const Kernels* table(int32_t isa) {
  switch (isa) {
    case CLIPENGINE_CPU_PORTABLE: return &kPortableKernels;
#if defined(__x86_64__)
    case CLIPENGINE_CPU_AVX2: return &kAvx2Kernels;
    case CLIPENGINE_CPU_AVX512: return &kAvx512Kernels;
    case CLIPENGINE_CPU_AVX512_VNNI: return &kAvx512VnniKernels;
    case CLIPENGINE_CPU_AVX512_BF16: return &kAvx512Bf16Kernels;
#elif defined(__aarch64__)
    case CLIPENGINE_CPU_NEON: return &kNeonKernels;
    case CLIPENGINE_CPU_NEON_DOT: return &kNeonDotKernels;
    case CLIPENGINE_CPU_NEON_MATRIX: return &kNeonMatrixKernels;
#endif
    default: return nullptr;
  }
}

}  // namespace

const Kernels& kernels_of(int32_t isa) {
  if (!processor_has(isa) || table(isa) == nullptr) throw Error(CLIPENGINE_UNSUPPORTED, "this processor lacks the instruction set that was asked for");
  return *table(isa);
}

}  // namespace clipengine::cpu
