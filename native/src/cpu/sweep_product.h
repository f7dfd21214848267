// The probe sweep: packed rows times packed prompts. Part of sweep_kernel.h.

// Memory that is wanted soon and is asked for little by little.
struct Ahead {
  const char* place;
  int64_t step;
};

// scores[column][kPanelRows] of one panel and kColumns packed prompts, and each row's largest one: every product keeps its sums in
// registers over the whole width.
template <int kColumns>
inline void product(const float* panel, const float* prompts, int64_t width, Vec scale, Vec bias, float* scores, float* largest, Ahead next_prompts, Ahead next_values) {
  Vec left[kColumns], right[kColumns];
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j) left[j] = right[j] = set(0.0f);
  for (int64_t from = 0; from < width; from += kFetchFeatures) {
    __builtin_prefetch(next_prompts.place, 0, 2);
    next_prompts.place += next_prompts.step;
    __builtin_prefetch(next_values.place, 0, 2);
    next_values.place += next_values.step;
    const int64_t to = from + kFetchFeatures < width ? from + kFetchFeatures : width;
#pragma GCC unroll 1
    for (int64_t k = from; k < to; ++k) {
      // The panel streams from the second-level cache; the processor's own prefetching leaves a fifth of the speed on the table.
      __builtin_prefetch(panel + 8 * kPanelRows);
      __builtin_prefetch(panel + 8 * kPanelRows + kPanelRows / 2);
      const Vec a = load(panel), b = load(panel + kLanes);
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) {
        const Vec prompt = set(prompts[j]);
        left[j] = fma(a, prompt, left[j]);
        right[j] = fma(b, prompt, right[j]);
      }
      panel += kPanelRows;
      prompts += kColumns;
    }
  }
  Vec most[2] = {set(-__builtin_inff()), set(-__builtin_inff())};
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j) {
    const Vec a = fma(left[j], scale, bias), b = fma(right[j], scale, bias);
    store(scores + j * kPanelRows, a);
    store(scores + j * kPanelRows + kLanes, b);
    most[0] = max(most[0], a);
    most[1] = max(most[1], b);
  }
  store(largest, most[0]);
  store(largest + kLanes, most[1]);
}

// Where product left the largest scores of one panel, product after product of a block.
inline float* largest_scores(const Workspace& workspace, int panel) {
  return workspace.largest + static_cast<int64_t>(panel) * (kBlockColumns / kProductColumns) * kPanelRows;
}

// Scores one block. next_block is the one whose scores come next: where values are far, its place in memory holds older
// probabilities, which are read before they are overwritten.
inline void score_block(const Plan& plan, const Workspace& workspace, const Block& block, const Block& next_block, int panels) {
  static_assert(kSteps == 3);
  const Vec scale = set(plan.scale), bias = set(plan.bias);
  const float* prompts = plan.packed + block.packed;
  // The panels share the work of fetching the next product's prompts, which come from far away where there are many.
  const int64_t lines = (kProductColumns * plan.width * static_cast<int64_t>(sizeof(float)) / 64 + panels - 1) / panels;
  const int64_t fetches = (plan.width + kFetchFeatures - 1) / kFetchFeatures, prompt_step = (lines + fetches - 1) / fetches * 64;
  // All products of the block share that of fetching the next block's values.
  const char* values = reinterpret_cast<const char*>(value_panel(plan, workspace, next_block, 0));
  const int64_t products = static_cast<int64_t>(block.padded + kProductColumns - 1) / kProductColumns * panels;
  const int64_t value_bytes = !plan.far_values || !plan.keeps || next_block.whole ? 0 : static_cast<int64_t>(next_block.padded) * panels * kPanelRows * static_cast<int64_t>(sizeof(float));
  const int64_t value_step = (value_bytes / products + fetches - 1) / fetches;
  for (int column = 0; column < block.padded; column += kProductColumns) {
    const int columns = block.padded - column < kProductColumns ? block.padded - column : kProductColumns;
    const char* next = reinterpret_cast<const char*>(prompts + columns * plan.width);
    for (int panel = 0; panel < panels; ++panel, next += lines * 64, values += value_step * fetches) {
      const float* tile = workspace.tile + panel * plan.width * kPanelRows;
      float* scores = value_panel(plan, workspace, block, panel) + column * kPanelRows;
      float* largest = largest_scores(workspace, panel) + column / kProductColumns * kPanelRows;
      const auto multiply = columns == kProductColumns ? product<kProductColumns> : columns == 2 * kColumnStep ? product<2 * kColumnStep> : product<kColumnStep>;
      multiply(tile, prompts, plan.width, scale, bias, scores, largest, {next, prompt_step}, {values, value_step});
    }
    prompts += columns * plan.width;
  }
}
