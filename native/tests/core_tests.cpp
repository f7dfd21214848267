#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "clipengine.h"
#include "core/status.h"
#include "core/thread_pool.h"
#include "cpu/isa.h"
#include "cpu/rates.h"

using clipengine::parallel_for;
using clipengine::ThreadPool;

CLIPENGINE_TEST(every_chunk_runs_exactly_once) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool::instance().resize(threads);
    CHECK_EQUAL(ThreadPool::instance().size(), threads);
    for (int64_t chunks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> counts(static_cast<size_t>(chunks));
      parallel_for(chunks, [&](int64_t chunk, int worker) {
        CHECK(worker >= 0 && worker < threads);
        counts[static_cast<size_t>(chunk)].fetch_add(1);
      });
      for (const auto& count : counts) CHECK_EQUAL(count.load(), 1);
    }
  }
}

// Figures of time are not compared with anything; that they are figures, and that what the processor lacks is said, is.
CLIPENGINE_TEST(every_ceiling_is_measured_or_refused) {
#if defined(__aarch64__)
  const int32_t first_with_bytes = CLIPENGINE_CPU_NEON_DOT, first_with_bf16 = CLIPENGINE_CPU_NEON_MATRIX;
#else
  const int32_t first_with_bytes = CLIPENGINE_CPU_AVX512_VNNI, first_with_bf16 = CLIPENGINE_CPU_AVX512_BF16;
#endif
  for (const int32_t isa : clipengine::cpu::available_isas()) {
    for (int32_t ceiling = 0; ceiling < CLIPENGINE_CEILING_COUNT; ++ceiling) {
      if (ceiling == CLIPENGINE_CEILING_MEMORY_READ && isa > 0) continue;  // the same in all sets
      double rate = -1;
      const clipengine_status status = clipengine_ceiling_measure(ceiling, isa, 0.01, &rate);
      const bool has = ceiling == CLIPENGINE_CEILING_FLOAT32 || ceiling == CLIPENGINE_CEILING_MEMORY_READ ||
                       (isa != CLIPENGINE_CPU_AMX_EMULATED && isa >= (ceiling == CLIPENGINE_CEILING_INT8 ? first_with_bytes : first_with_bf16));
      CHECK_EQUAL(status, has ? CLIPENGINE_OK : CLIPENGINE_UNSUPPORTED);
      CHECK(has ? rate > 1e6 && rate < 1e18 : rate == -1);
    }
  }
  double rate = -1;
  CHECK_EQUAL(clipengine_ceiling_measure(CLIPENGINE_CEILING_COUNT, 0, 0.01, &rate), CLIPENGINE_INVALID_ARGUMENT);
  CHECK_EQUAL(clipengine_ceiling_measure(0, CLIPENGINE_CPU_ISA_COUNT, 0.01, &rate), CLIPENGINE_UNSUPPORTED);
}

CLIPENGINE_TEST(no_two_threads_share_a_worker_index) {
  ThreadPool::instance().resize(4);
  std::atomic<int> inside[4] = {};
  for (int round = 0; round < 200; ++round) {
    parallel_for(16, [&](int64_t, int worker) {
      CHECK_EQUAL(inside[worker].fetch_add(1), 0);
      inside[worker].fetch_sub(1);
    });
  }
}

CLIPENGINE_TEST(concurrent_callers_and_nested_jobs_finish) {
  ThreadPool::instance().resize(3);
  std::atomic<int64_t> total{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 100; ++round) {
        parallel_for(5, [&](int64_t, int) { parallel_for(3, [&](int64_t, int) { total.fetch_add(1); }); });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK_EQUAL(total.load(), int64_t{4 * 100 * 5 * 3});
}

CLIPENGINE_TEST(an_exception_reaches_the_caller_and_the_pool_survives) {
  ThreadPool::instance().resize(2);
  bool thrown = false;
  try {
    parallel_for(10, [](int64_t chunk, int) {
      if (chunk == 4) throw std::runtime_error("chunk 4");
    });
  } catch (const std::runtime_error& error) {
    thrown = std::strcmp(error.what(), "chunk 4") == 0;
  }
  CHECK(thrown);
  std::atomic<int> count{0};
  parallel_for(10, [&](int64_t, int) { count.fetch_add(1); });
  CHECK_EQUAL(count.load(), 10);
}

CLIPENGINE_TEST(the_default_size_is_what_the_process_may_use) {
  CHECK_EQUAL(clipengine_threads_set(0), CLIPENGINE_OK);
  CHECK_EQUAL(clipengine_threads_get(), clipengine_threads_available());
}

CLIPENGINE_TEST(error_text_is_cut_to_the_buffer) {
  CHECK_EQUAL(clipengine::guard([] { throw clipengine::Error(CLIPENGINE_BAD_INPUT, "0123456789"); }), CLIPENGINE_BAD_INPUT);
  char buffer[5];
  CHECK_EQUAL(clipengine_error_message(buffer, 5), int64_t{10});
  CHECK_EQUAL(std::string(buffer), std::string("0123"));
}

CLIPENGINE_TEST(measured_rates_are_kept_for_the_next_process) {
  using clipengine::cpu::kept_rates;
  using clipengine::cpu::Rates;
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("clipengine-rates-" + std::to_string(std::random_device{}()));
  const std::string file = (folder / "below" / "model").generic_string();
  int measured = 0;
  const auto find = [&](bool pairs, bool tiles) {
    return kept_rates(file, pairs, tiles, [&] {
      ++measured;
      Rates made;
      made.pairs = pairs ? 0.4912345678 : 0;
      made.tiles = tiles ? 7.25 : 0;
      return made;
    });
  };
  const Rates first = find(true, false);
  CHECK_EQUAL(first.source, CLIPENGINE_CPU_RATES_MEASURED);
  CHECK_NEAR(first.pairs, 0.4912345678, 1e-6);
  const Rates again = find(true, false);
  CHECK_EQUAL(again.source, CLIPENGINE_CPU_RATES_KEPT);
  CHECK_EQUAL(again.pairs, first.pairs);
  CHECK_EQUAL(measured, 1);
  // Tiles that were not there when it was measured are measured; and what is there no more has no rate.
  CHECK_EQUAL(find(true, true).tiles, 7.25);
  CHECK_EQUAL(measured, 2);
  CHECK_EQUAL(find(true, false).tiles, 0);
  CHECK_EQUAL(find(true, true).source, CLIPENGINE_CPU_RATES_KEPT);
  CHECK_EQUAL(measured, 2);
  // Anything else in the file is measured over.
  for (const char* text : {"", "clipengine rates of bf16 to fp32 in millionths, 1\n", "clipengine rates of bf16 to fp32 in millionths, 1\npairs 1\ntiles -3\n",
                           "clipengine rates of bf16 to fp32 in millionths, 1\npairs 99999999999999\ntiles 1000000\n", "something else\npairs 1\ntiles 1\n"}) {
    std::ofstream(file, std::ios::binary) << text;
    CHECK_EQUAL(find(true, true).source, CLIPENGINE_CPU_RATES_MEASURED);
    CHECK_EQUAL(find(true, true).source, CLIPENGINE_CPU_RATES_KEPT);
  }
  // Two processes measure at once: both take what the first one wrote.
  std::filesystem::remove(file);
  const Rates second = kept_rates(file, true, true, [&] {
    kept_rates(file, true, true, [] { return Rates{0.75, 6, 0}; });
    return Rates{1.25, 9, 0};
  });
  CHECK_EQUAL(second.pairs, 0.75);
  CHECK_EQUAL(second.tiles, 6);
  CHECK_EQUAL(find(true, true).tiles, 6);
  // The other one's file does not have what this process needs: it is written over.
  std::filesystem::remove(file);
  const Rates wider = kept_rates(file, true, true, [&] {
    kept_rates(file, true, false, [] { return Rates{0.75, 0, 0}; });
    return Rates{1.25, 9, 0};
  });
  CHECK_EQUAL(wider.tiles, 9);
  CHECK_EQUAL(find(true, true).pairs, 1.25);
  // Names beyond ASCII, which Windows keeps as UTF-16.
  const std::string named = file + "-\xC3\xA4\xE2\x82\xAC";
  CHECK_EQUAL(kept_rates(named, true, true, [] { return Rates{0.5, 3, 0}; }).source, CLIPENGINE_CPU_RATES_MEASURED);
  CHECK_EQUAL(kept_rates(named, true, true, [] { return Rates{1, 1, 0}; }).tiles, 3);
  CHECK(std::filesystem::exists(std::filesystem::u8path(named)));
  std::filesystem::remove(std::filesystem::u8path(named));
  CHECK_EQUAL(std::distance(std::filesystem::directory_iterator(folder / "below"), std::filesystem::directory_iterator()), 1);  // nothing half written
  std::filesystem::remove_all(folder);
  // Where nothing can be written every process measures.
  std::ofstream(folder, std::ios::binary) << "a file where a folder should be";
  measured = 0;
  CHECK_EQUAL(find(true, true).source, CLIPENGINE_CPU_RATES_MEASURED);
  CHECK_EQUAL(find(true, true).source, CLIPENGINE_CPU_RATES_MEASURED);
  CHECK_EQUAL(measured, 2);
  std::filesystem::remove_all(folder);
  CHECK_EQUAL(kept_rates("", true, true, [] { return Rates{0.5, 3, 0}; }).tiles, 3);
}

CLIPENGINE_TEST_MAIN()
