// A chunk's sums into a batch's totals.
#pragma once

#include "cpu/sweep/worker.h"

namespace clipengine::sweep {

// total += value, exactly up to a rounding of value to a multiple of 2^-80. False where either is out of range (2^46, 2^47).
bool add_to_total(clipengine_sweep_total& total, double value);

// Adds what a chunk has left in the worker's sums, which are zeros again afterwards.
void add_totals(const Plan& plan, const Kernel& kernel, const Worker& worker, int count, clipengine_sweep_batch& batch);

// Forgets what a refused chunk has left there.
void clear(const Plan& plan, const Workspace& workspace);

}  // namespace clipengine::sweep
