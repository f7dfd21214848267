// The probe sweep's plain twin, which tests compare with.
#pragma once

#include "clipengine_sweep.h"

namespace clipengine::sweep {

// Every output of a batch in double precision, one row and one column at a time. Totals are written as doubles ([group_count, prompt_count] and
// [replicate_count, prompt_count]); other outputs of the batch as they are declared.
void reference(const clipengine_sweep_plan& plan, const clipengine_sweep_batch& batch, double* sums, double* weighted_sums);

}  // namespace clipengine::sweep
