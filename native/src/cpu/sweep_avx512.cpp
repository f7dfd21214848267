// The probe sweep on AVX-512 F, BW, DQ and VL.
#include "cpu/sweep_plan.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

#include <immintrin.h>

namespace clipengine::sweep {
namespace avx512 {
namespace {

#include "cpu/sweep_vector_avx512.h"

#include "cpu/sweep_kernel.h"

constexpr Kernel kKernel{"avx512", kLanes, kPanelRows, kProductColumns, kColumnStep, kDotColumns, 16, &run_chunk, &add_to_totals, {}};

}  // namespace
}  // namespace avx512

const Kernel* avx512_kernel() { return &avx512::kKernel; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::avx512_kernel() { return nullptr; }

#endif
