// The probe sweep on AVX2 with FMA and F16C.
#include "cpu/sweep/kernel.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

namespace clipengine::sweep {
namespace {

#include "simd/vector_avx2.h"
#include "simd/sweep_avx2.h"
#include "cpu/sweep/chunk.h"

constexpr Kernel kKernel = kernel_named("avx2");

}  // namespace

const Kernel* avx2_kernel() { return &kKernel; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::avx2_kernel() { return nullptr; }

#endif
