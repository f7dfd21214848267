// The probe sweep: which kernel it takes, how it is made, how its totals add up, and its plain twin. What runs it is clipengine_sweep.h.
#pragma once

#include "cpu/sweep/kernel.h"

namespace clipengine::sweep {

// The kernel that this process uses: the best that the processor has, or what CLIPENGINE_CPU names; for a precision other than fp32
// one that also has that, where it is faster. Throws Error(BAD_INPUT).
const Kernel& best_kernel(int32_t precision = CLIPENGINE_SWEEP_IN_FLOAT32);

// The kernel, or null where the processor lacks its instructions.
const Kernel* usable(const Kernel* kernel);

// As clipengine_sweep_create, with the kernel given: tests run every kernel that the processor has.
clipengine_sweep* create(const clipengine_sweep_plan& plan, const Kernel& kernel, int64_t& failed_prompt);

// total += value, exactly up to a rounding of value to a multiple of 2^-80. False where either is out of range (2^46, 2^47).
bool add_to_total(clipengine_sweep_total& total, double value);

// The plain twin: every output of a batch in double precision, one row and one column at a time. Totals are written as doubles
// ([group_count, prompt_count] and [replicate_count, prompt_count]); other outputs of the batch as they are declared.
void reference(const clipengine_sweep_plan& plan, const clipengine_sweep_batch& batch, double* sums, double* weighted_sums);

// One feature of any stored type, exactly.
double read_feature(const void* features, int32_t type, int64_t index);

}  // namespace clipengine::sweep
