// The probe sweep on AVX-512 F, BW, DQ and VL.
#include "cpu/sweep/kernel.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

#include <immintrin.h>

namespace clipengine::sweep {
namespace {

#include "simd/vector_avx512.h"
#include "simd/sweep_avx512.h"
#include "cpu/sweep/chunk.h"

constexpr Kernel kKernel = kernel_named("avx512");

}  // namespace

const Kernel* avx512_kernel() { return &kKernel; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::avx512_kernel() { return nullptr; }

#endif
