// Resampling for AVX2.
#include <immintrin.h>

#include "image/resample.h"

namespace clipengine::image {
namespace {

#include "simd/vector_avx2.h"
#include "simd/bytes_avx2.h"

#include "image/resample_pairs_body.h"
#include "image/resample_body.h"

}  // namespace

const ResampleKernels kAvx2Kernels = {"avx2", kByteLanes, horizontal_any, vertical_any};

}  // namespace clipengine::image
