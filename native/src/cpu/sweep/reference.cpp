// The probe sweep's plain twin: what the header says, in double precision, as it would be written on a blackboard.
#include "cpu/sweep/reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "cpu/sweep/features.h"

namespace clipengine::sweep {

void reference(const clipengine_sweep_plan& plan, const clipengine_sweep_batch& batch, double* sums, double* weighted_sums) {
  std::vector<double> score(static_cast<size_t>(plan.prompt_count)), probability(score.size());
  for (int64_t row = 0; row < batch.row_count; ++row) {
    for (int64_t j = 0; j < plan.prompt_count; ++j) {
      double dot = 0;
      for (int64_t k = 0; k < plan.width; ++k)
        dot += read_feature(batch.rows, batch.row_type, row * plan.width + k) * read_feature(plan.prompts, plan.prompt_type, j * plan.width + k);
      score[j] = plan.scale * dot + plan.bias;
    }
    const int64_t group = plan.group_count == 0 ? -1 : (batch.groups == nullptr ? 0 : batch.groups[row]);
    if (group >= 0 && batch.group_rows != nullptr) ++batch.group_rows[group];
    int64_t start = 0;
    for (int64_t s = 0; s < plan.segment_count; ++s) {
      const int64_t end = start + plan.segment_lengths[s], cell = row * plan.segment_count + s;
      std::vector<int64_t> order(static_cast<size_t>(end - start));
      std::iota(order.begin(), order.end(), start);
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return score[a] > score[b]; });
      double total = 0, entropy = 0;
      for (int64_t j = start; j < end; ++j) {
        probability[j] = plan.activation == CLIPENGINE_SWEEP_SIGMOID ? 1 / (1 + std::exp(-score[j])) : std::exp(score[j] - score[order[0]]);
        total += probability[j];
      }
      for (int64_t j = start; j < end; ++j) {
        if (plan.activation == CLIPENGINE_SWEEP_SOFTMAX) probability[j] /= total;
        if (probability[j] > 0) entropy -= probability[j] * std::log(probability[j]);
        if (batch.probabilities != nullptr) batch.probabilities[row * plan.prompt_count + j] = static_cast<float>(probability[j]);
        if (group >= 0) sums[group * plan.prompt_count + j] += probability[j];
        for (int64_t r = 0; r < plan.replicate_count; ++r) weighted_sums[r * plan.prompt_count + j] += batch.weights[r * batch.weight_stride + row] * probability[j];
      }
      if (group >= 0 && batch.argmax_counts != nullptr) ++batch.argmax_counts[group * plan.prompt_count + order[0]];
      if (batch.entropy != nullptr) batch.entropy[cell] = static_cast<float>(entropy);
      if (batch.margin != nullptr) batch.margin[cell] = static_cast<float>(probability[order[0]] - (end - start > 1 ? probability[order[1]] : 0));
      for (int32_t t = 0; t < plan.top_count; ++t) {
        if (batch.top_indices != nullptr) batch.top_indices[cell * plan.top_count + t] = static_cast<int32_t>(order[t]);
        if (batch.top_probabilities != nullptr) batch.top_probabilities[cell * plan.top_count + t] = static_cast<float>(probability[order[t]]);
      }
      start = end;
    }
  }
}

}  // namespace clipengine::sweep
