// Resampling for AVX-512.
#include <immintrin.h>

#include "image/resample.h"

namespace clipengine::image {
namespace {

#include "simd/vector_avx512.h"
#include "simd/bytes_avx512.h"

#include "image/resample_pairs_body.h"
#include "image/resample_body.h"

}  // namespace

const ResampleKernels kAvx512Kernels = {"avx512", kByteLanes, horizontal_any, vertical_any};

}  // namespace clipengine::image
