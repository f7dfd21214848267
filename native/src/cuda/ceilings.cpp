#include "cuda/ceilings.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "clipengine_cuda_measure.h"
#include "core/status.h"
#include "cuda/ranges.h"
#include "cuda/sweep.h"

namespace clipengine::cuda {
namespace {

constexpr uint32_t kThreads = 256;  // as kCeilingThreads
// Of a multiprocessor: all of them run at once, at 48 registers a thread and on those that hold 1536 threads; a second round of fewer
// would leave some idle.
constexpr uint32_t kBlocks = 4;
constexpr int kRuns = 5;
constexpr int64_t kMostRounds = 1 << 18;  // a sum grows by at most 16 a round and is exact up to 2^24
constexpr int64_t kMostCopyBytes = int64_t{1} << 30;

uint64_t slot(float value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

// Seconds between events around work(parts), which enqueues.
double timed(Device& device, const Event& start, const Event& end, const std::function<void(int64_t)>& work, int64_t parts) {
  device.record(start, Queue::kCompute);
  work(parts);
  device.record(end, Queue::kCompute);
  device.await(end);
  return device.elapsed(start, end) * 1e-3;
}

// Parts a second, the best of several runs that take about `seconds` together.
double best_rate(Device& device, double seconds, int64_t most_parts, const std::function<void(int64_t)>& work) {
  const Event start(device), end(device);
  int64_t parts = 1;
  double taken = timed(device, start, end, work, parts);  // brings the clock up
  while ((taken = timed(device, start, end, work, parts)) < seconds / kRuns / 2 && parts < most_parts) parts = std::min(2 * parts, most_parts);
  double best = 0;
  for (int run = 0; run < kRuns; ++run) best = std::max(best, static_cast<double>(parts) / timed(device, start, end, work, parts));
  return best;
}

double measure_multiplication(Device& device, const char* name, double seconds) {
  const uint32_t blocks = static_cast<uint32_t>(device.multiprocessors()) * kBlocks;
  const int64_t threads = static_cast<int64_t>(blocks) * kThreads;
  DeviceMemory memory(device);
  memory.reserve(threads * 8);
  const int64_t kernel = device.find_kernel(name, 0);
  int64_t last_rounds = 0;
  const double rounds_a_second = best_rate(device, seconds, kMostRounds, [&](int64_t rounds) {
    const uint64_t arguments[] = {slot(1.0f), static_cast<uint64_t>(rounds), memory.address()};
    device.launch({kernel, {blocks, 1, 1, kThreads, 0}, arguments, 3});
    last_rounds = rounds;
  });
  std::vector<int64_t> done(static_cast<size_t>(threads));
  device.download(done.data(), memory.address(), threads * 8);
  const int64_t one = done[0];
  if (one <= 0 || one % last_rounds != 0 || std::any_of(done.begin(), done.end(), [&](int64_t other) { return other != one; }))
    throw Error(CLIPENGINE_INTERNAL, std::string(name) + " did not do what it counts");
  return rounds_a_second * static_cast<double>(one / last_rounds) * static_cast<double>(threads) * 2;
}

double measure_copy(Device& device, double seconds) {
  const int64_t bytes = std::min(kMostCopyBytes, device.free_bytes() / 4) / 4096 * 4096;
  if (bytes <= 0) throw Error(CLIPENGINE_OUT_OF_MEMORY, "no device memory to copy within");
  DeviceMemory source(device), destination(device);
  source.reserve(bytes);
  destination.reserve(bytes);
  device.fill(Queue::kCompute, source.address(), 0x5a, bytes);
  const int64_t kernel = device.find_kernel("ceiling_copy", 0);
  const uint32_t blocks = static_cast<uint32_t>(device.multiprocessors()) * kBlocks;
  const double copies = best_rate(device, seconds, kMostRounds, [&](int64_t parts) {
    const uint64_t arguments[] = {source.address(), destination.address(), static_cast<uint64_t>(bytes / 16)};
    for (int64_t part = 0; part < parts; ++part) device.launch({kernel, {blocks, 1, 1, kThreads, 0}, arguments, 3});
  });
  std::vector<unsigned char> end(4096);
  device.download(end.data(), destination.address() + static_cast<uint64_t>(bytes) - end.size(), static_cast<int64_t>(end.size()));
  if (std::any_of(end.begin(), end.end(), [](unsigned char byte) { return byte != 0x5a; })) throw Error(CLIPENGINE_INTERNAL, "ceiling_copy did not copy");
  return copies * static_cast<double>(bytes) * 2;
}

}  // namespace

double measure_ceiling(Device& device, int32_t ceiling, double seconds) {
  static constexpr const char* kNames[CLIPENGINE_CUDA_CEILING_COUNT] = {"ceiling_bf16", "ceiling_fp16", "ceiling_tf32", "ceiling_fp32", "ceiling_copy"};
  if (ceiling < 0 || ceiling >= CLIPENGINE_CUDA_CEILING_COUNT || !(seconds > 0)) throw Error(CLIPENGINE_INVALID_ARGUMENT, "no such ceiling, or no time to measure it");
  const Range range(kNames[ceiling]);
  return ceiling == CLIPENGINE_CUDA_CEILING_COPY ? measure_copy(device, seconds) : measure_multiplication(device, kNames[ceiling], seconds);
}

}  // namespace clipengine::cuda
