// The probe sweep: packed rows times packed prompts. Part of chunk.h.

// Memory that is wanted soon and is asked for little by little.
struct Ahead {
  const char* place;
  int64_t step;
};

// Sums of kColumns packed prompts with the two vectors of a panel's rows, which are lanes. A Dot has Word (of rows and prompts as packed),
// Scales (sums to scores), Sum, and in what order these are used: begin, rows, prompt, step, value.
template <typename Dot, int kColumns>
struct LaneSums {
  static constexpr int kWords = 1;  // a step's, of each row and prompt
  typename Dot::Sum left[kColumns], right[kColumns];

  inline void begin(const typename Dot::Scales& scales) {
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; ++j) left[j] = right[j] = Dot::begin(scales, j);
  }
  inline void step(const typename Dot::Word* panel, const typename Dot::Word* prompts) {
    const auto a = Dot::rows(panel), b = Dot::rows(panel + kLanes);
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; ++j) {
      const auto prompt = Dot::prompt(prompts + j);
      left[j] = Dot::step(left[j], a, prompt);
      right[j] = Dot::step(right[j], b, prompt);
    }
  }
  inline Vector value(int column, int half) const { return Dot::value(half == 0 ? left[column] : right[column]); }
};

struct OneScale {
  Vector scale, bias;
  inline Vector score(Vector sum, int, int) const { return multiply_add(sum, scale, bias); }
};

struct Floats {
  using Word = float;
  using Scales = OneScale;
  using Sum = Vector;
  template <int kColumns>
  using Sums = LaneSums<Floats, kColumns>;
  static inline Sum begin(const Scales&, int) { return spread(0.0f); }
  static inline Vector rows(const float* p) { return load(p); }
  static inline Vector prompt(const float* p) { return spread(*p); }
  static inline Sum step(Sum sum, Vector row, Vector prompt) { return multiply_add(row, prompt, sum); }
  static inline Vector value(Sum sum) { return sum; }
};

// scores[column][kPanelRows] of one panel and kColumns packed prompts, and each row's largest one: every product keeps its sums in
// registers over the whole width.
template <typename Dot, int kColumns>
inline void product(const typename Dot::Word* panel, const typename Dot::Word* prompts, int64_t words, const typename Dot::Scales& given, float* scores, float* largest, Ahead next_prompts, Ahead next_values) {
  const typename Dot::Scales scales = given;
  typename Dot::template Sums<kColumns> sums;
  sums.begin(scales);
  for (int64_t from = 0; from < words; from += kFetchFeatures) {
    __builtin_prefetch(next_prompts.place, 0, 2);
    next_prompts.place += next_prompts.step;
    __builtin_prefetch(next_values.place, 0, 2);
    next_values.place += next_values.step;
    const int64_t to = from + kFetchFeatures < words ? from + kFetchFeatures : words;
#pragma GCC unroll 1
    for (int64_t k = from; k < to; k += sums.kWords) {
      // The panel streams from the second-level cache; the processor's own prefetching leaves a fifth of the speed on the table.
#pragma GCC unroll 2
      for (int line = 0; line < kPanelRows; line += 16) __builtin_prefetch(panel + 8 * kPanelRows + line);
      sums.step(panel, prompts);
      panel += sums.kWords * kPanelRows;
      prompts += sums.kWords * kColumns;
    }
  }
  Vector most[2] = {spread(-__builtin_inff()), spread(-__builtin_inff())};
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const Vector score = scales.score(sums.value(j, half), j, half);
      store(scores + j * kPanelRows + half * kLanes, score);
      most[half] = maximum(most[half], score);
    }
  }
  store(largest, most[0]);
  store(largest + kLanes, most[1]);
}

// Where product left the largest scores of one panel, product after product of a block.
inline float* largest_scores(const Workspace& workspace, int panel) {
  return workspace.largest + static_cast<int64_t>(panel) * kBlockProducts * kPanelRows;
}

// Scores one block from its packed rows and prompts; scales_at(column, panel) are those of a product. next_block is the one whose scores come
// next: where values are far, its place in memory holds older probabilities, which are read before they are overwritten.
template <typename Dot, typename ScalesAt>
inline void multiply_block(const Plan& plan, const Workspace& workspace, const Block& block, const Block& next_block, int panels, const typename Dot::Word* rows, const typename Dot::Word* prompts, int64_t words,
                           const ScalesAt& scales_at) {
  static_assert(kSteps == 3);
  // The panels share the work of fetching the next product's prompts, which come from far away where there are many.
  const int64_t lines = (kProductColumns * words * static_cast<int64_t>(sizeof *prompts) / 64 + panels - 1) / panels;
  const int64_t fetches = (words + kFetchFeatures - 1) / kFetchFeatures, prompt_step = (lines + fetches - 1) / fetches * 64;
  // All products of the block share that of fetching the next block's values.
  const char* values = reinterpret_cast<const char*>(value_panel(plan, workspace, next_block, 0));
  const int64_t products = static_cast<int64_t>(block.padded + kProductColumns - 1) / kProductColumns * panels;
  const int64_t value_bytes = !plan.far_values || !plan.keeps || next_block.whole ? 0 : static_cast<int64_t>(next_block.padded) * panels * kPanelRows * static_cast<int64_t>(sizeof(float));
  const int64_t value_step = (value_bytes / products + fetches - 1) / fetches;
  for (int column = 0; column < block.padded; column += kProductColumns) {
    const int columns = block.padded - column < kProductColumns ? block.padded - column : kProductColumns;
    const char* next = reinterpret_cast<const char*>(prompts + columns * words);
    const auto multiply = columns == kProductColumns ? product<Dot, kProductColumns> : columns == 2 * kColumnStep ? product<Dot, 2 * kColumnStep> : product<Dot, kColumnStep>;
    for (int panel = 0; panel < panels; ++panel, next += lines * 64, values += value_step * fetches) {
      multiply(rows + panel * words * kPanelRows, prompts, words, scales_at(column, panel), value_panel(plan, workspace, block, panel) + column * kPanelRows,
               largest_scores(workspace, panel) + column / kProductColumns * kPanelRows, {next, prompt_step}, {values, value_step});
    }
    prompts += columns * words;
  }
}

inline void score_block(const Plan& plan, const Workspace& workspace, const Block& block, const Block& next_block, int panels) {
  const OneScale scale{spread(plan.scale), spread(plan.bias)};
  multiply_block<Floats>(plan, workspace, block, next_block, panels, workspace.tile, plan.packed + block.packed, plan.width, [&](int, int) { return scale; });
}
