#include "cpu/sweep/kernels.h"

#include "cpu/isa.h"

namespace clipengine::sweep {

namespace {

// The kernel that multiplies in a precision on this instruction set and does more a second than fp32's multiply-adds, or null.
const Kernel* narrow_kernel(int32_t precision, int32_t isa) {
  const Kernel* kernel = nullptr;
  switch (isa) {
    case CLIPENGINE_CPU_AMX: kernel = amx_kernel(); break;
    case CLIPENGINE_CPU_AMX_EMULATED: kernel = amx_emulated_kernel(); break;
    case CLIPENGINE_CPU_AVX512_VNNI:
      if (precision != CLIPENGINE_SWEEP_IN_BFLOAT16) kernel = avx512_narrow_kernel();
      break;
    case CLIPENGINE_CPU_AVX512_BF16: kernel = avx512_narrow_kernel(); break;
    case CLIPENGINE_CPU_NEON_DOT: kernel = neon_dot_kernel(); break;
    case CLIPENGINE_CPU_NEON_MATRIX: kernel = neon_matrix_kernel(); break;
  }
  kernel = usable(kernel);
  if (kernel == nullptr || (kernel->narrow.precisions >> precision & 1) == 0) return nullptr;
#if defined(__x86_64__)
  // Intel's vector units take pairs, of bf16 and of 16 bits, at half the rate of AMD's: no faster than fp32.
  if (kernel->narrow.tiles_isa < 0 && precision != CLIPENGINE_SWEEP_IN_INT8 && __builtin_cpu_is("intel")) return nullptr;
#endif
  return kernel;
}

}  // namespace

const Kernel* usable(const Kernel* kernel) {
  if (kernel == nullptr) return nullptr;
#if defined(__x86_64__)
  if (kernel == amx_kernel()) return cpu::why_not(CLIPENGINE_CPU_AMX).empty() ? usable(avx512_narrow_kernel()) != nullptr ? kernel : nullptr : nullptr;
  if (kernel == amx_emulated_kernel()) return usable(avx512_narrow_kernel()) != nullptr ? kernel : nullptr;
  if (kernel == avx512_narrow_kernel()) return __builtin_cpu_supports("avx512vnni") && usable(avx512_kernel()) != nullptr ? kernel : nullptr;
  if (kernel == avx512_kernel())
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") ? kernel : nullptr;
  if (kernel == avx2_kernel()) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") ? kernel : nullptr;
#elif defined(__aarch64__)
  if (kernel == neon_dot_kernel() && !cpu::processor_has(CLIPENGINE_CPU_NEON_DOT)) return nullptr;
  if (kernel == neon_matrix_kernel() && !cpu::processor_has(CLIPENGINE_CPU_NEON_MATRIX)) return nullptr;
#endif
  return kernel;
}

const Kernel& best_kernel(int32_t precision) {
  const int32_t wanted = cpu::default_isa();
  if (precision != CLIPENGINE_SWEEP_IN_FLOAT32) {
    if (const Kernel* kernel = narrow_kernel(precision, wanted)) return *kernel;
  }
  const int32_t isa = cpu::vector_isa_of(wanted);
  if (isa == CLIPENGINE_CPU_PORTABLE) return *portable_kernel();
  const Kernel* kernel = usable(neon_kernel());
  if (kernel == nullptr && isa >= CLIPENGINE_CPU_AVX512) kernel = usable(avx512_kernel());
  if (kernel == nullptr && isa >= CLIPENGINE_CPU_AVX2) kernel = usable(avx2_kernel());
  return kernel != nullptr ? *kernel : *portable_kernel();
}

}  // namespace clipengine::sweep
