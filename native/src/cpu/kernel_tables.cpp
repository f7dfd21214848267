// Which table of kernels belongs to an instruction set.
#include "core/status.h"
#include "core/thread_pool.h"
#include "cpu/isa.h"

namespace clipengine::cpu {

extern const Kernels kPortableKernels, kAmxEmulatedPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels, kAvx512Kernels, kAvx512VnniKernels, kAvx512Bf16Kernels, kAmxEmulatedKernels;
#if defined(CLIPENGINE_HAS_AMX)
extern const Kernels kAmxKernels;
#endif
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
#if defined(CLIPENGINE_HAS_AMX)
    case CLIPENGINE_CPU_AMX: return &kAmxKernels;
#endif
    case CLIPENGINE_CPU_AMX_EMULATED: return vector_isa_of(isa) == CLIPENGINE_CPU_AVX512 ? &kAmxEmulatedKernels : &kAmxEmulatedPortableKernels;
#else
#if defined(__aarch64__)
    case CLIPENGINE_CPU_NEON: return &kNeonKernels;
    case CLIPENGINE_CPU_NEON_DOT: return &kNeonDotKernels;
    case CLIPENGINE_CPU_NEON_MATRIX: return &kNeonMatrixKernels;
#endif
    case CLIPENGINE_CPU_AMX_EMULATED: return &kAmxEmulatedPortableKernels;
#endif
    default: return nullptr;
  }
}

}  // namespace

const Kernels& kernels_of(int32_t isa) {
  require_isa(isa);
  const Kernels* found = table(isa);
  if (found == nullptr) throw Error(CLIPENGINE_UNSUPPORTED, "this build lacks the instruction set that was asked for");
  if (found->rest != nullptr) ThreadPool::add_rest(found->rest);
  return *found;
}

}  // namespace clipengine::cpu
