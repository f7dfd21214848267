// What stands in clipengine_cuda_measure.h, through the emulated twin: ceilings, events, and ranges as a tool receives them.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "clipengine_cuda_measure.h"
#include "clipengine_sweep.h"

namespace {

clipengine_cuda_device* open_device() {
  clipengine_cuda_device* device = nullptr;
  CHECK_EQUAL(clipengine_cuda_device_open(0, nullptr, &device), CLIPENGINE_OK);
  return device;
}

std::string last_message() {
  char text[1024] = "";
  clipengine_cuda_error_message(text, sizeof text);
  return text;
}

// What the tool that the environment names has received; the library that it is in was loaded by the ranges, or by nobody.
std::string received() {
  const char* path = std::getenv("NVTX_INJECTION64_PATH");
  void* tool = path == nullptr ? nullptr : dlopen(path, RTLD_NOW | RTLD_NOLOAD);
  const auto events = tool == nullptr ? nullptr : reinterpret_cast<const char* (*)()>(dlsym(tool, "fake_nvtx_events"));
  return events == nullptr ? "" : events();
}

bool is_recording_expected() { return std::getenv("CLIPENGINE_EXPECT_RANGES") != nullptr; }

}  // namespace

CLIPENGINE_TEST(every_ceiling_is_a_rate_and_nothing_else_is_a_ceiling) {
  clipengine_cuda_device* device = open_device();
  for (int32_t ceiling = 0; ceiling < CLIPENGINE_CUDA_CEILING_COUNT; ++ceiling) {
    double rate = 0;
    CHECK_EQUAL(clipengine_cuda_ceiling_measure(device, ceiling, 1e-3, &rate), CLIPENGINE_OK);
    CHECK(rate > 0 && rate < 1e17);
  }
  double rate = 0;
  for (int32_t ceiling : {-1, (int32_t)CLIPENGINE_CUDA_CEILING_COUNT}) CHECK_EQUAL(clipengine_cuda_ceiling_measure(device, ceiling, 1e-3, &rate), CLIPENGINE_INVALID_ARGUMENT);
  CHECK_EQUAL(clipengine_cuda_ceiling_measure(device, 0, 0.0, &rate), CLIPENGINE_INVALID_ARGUMENT);
  CHECK(last_message().find("ceiling") != std::string::npos);
  int64_t bytes = 0;
  CHECK_EQUAL(clipengine_cuda_memory_available(device, &bytes), CLIPENGINE_OK);
  CHECK(bytes > 0);
  clipengine_cuda_device_close(device);
}

CLIPENGINE_TEST(events_enclose_what_was_enqueued_between_them) {
  clipengine_cuda_device* device = open_device();
  int64_t events[3] = {}, kernel = 0;
  for (int64_t& event : events) CHECK_EQUAL(clipengine_cuda_event_create(device, &event), CLIPENGINE_OK);
  uint64_t memory = 0;
  CHECK_EQUAL(clipengine_cuda_memory_allocate(device, 256 * 8, &memory), CLIPENGINE_OK);
  CHECK_EQUAL(clipengine_cuda_kernel_find(device, "ceiling_fp32", 0, &kernel), CLIPENGINE_OK);
  const float one = 1;
  uint64_t arguments[3] = {0, 20000, memory};
  std::memcpy(arguments, &one, sizeof one);
  const clipengine_cuda_launch launch = {kernel, 1, 1, 1, 256, 0, 3, 0};
  CHECK_EQUAL(clipengine_cuda_event_record(device, events[0]), CLIPENGINE_OK);
  CHECK_EQUAL(clipengine_cuda_event_record(device, events[1]), CLIPENGINE_OK);
  CHECK_EQUAL(clipengine_cuda_launches_enqueue(device, &launch, 1, arguments, 3), CLIPENGINE_OK);
  CHECK_EQUAL(clipengine_cuda_event_record(device, events[2]), CLIPENGINE_OK);
  double nothing = -1, kernel_alone = -1, both = -1;
  CHECK_EQUAL(clipengine_cuda_event_elapsed(device, events[0], events[1], &nothing), CLIPENGINE_OK);
  CHECK_EQUAL(clipengine_cuda_event_elapsed(device, events[1], events[2], &kernel_alone), CLIPENGINE_OK);
  CHECK_EQUAL(clipengine_cuda_event_elapsed(device, events[0], events[2], &both), CLIPENGINE_OK);
  CHECK(nothing >= 0 && kernel_alone > 0);
  CHECK_NEAR(both, nothing + kernel_alone, 1e-5);
  for (int64_t event : events) CHECK_EQUAL(clipengine_cuda_event_destroy(device, event), CLIPENGINE_OK);
  CHECK_EQUAL(clipengine_cuda_memory_free(device, memory), CLIPENGINE_OK);
  clipengine_cuda_device_close(device);
}

CLIPENGINE_TEST(a_tool_receives_ranges_that_nest_and_without_one_nothing_happens) {
  CHECK_EQUAL(clipengine_cuda_ranges_are_recorded() != 0, is_recording_expected());
  const size_t before = received().size();
  clipengine_cuda_range_push("outer");
  clipengine_cuda_range_push("inner");
  clipengine_cuda_range_pop();
  clipengine_cuda_range_pop();
  clipengine_cuda_range_push(nullptr);  // nothing to name, nothing to end
  CHECK_EQUAL(received().substr(before), std::string(is_recording_expected() ? "+outer\n+inner\n-\n-\n" : ""));
}

CLIPENGINE_TEST(a_sweep_says_what_it_is_doing) {
  clipengine_cuda_device* device = open_device();
  const std::vector<float> prompts = {1, 0, 0, 1, 0.6f, 0.8f}, rows = {1, 0, 0.8f, 0.6f, 0, 1, 0.6f, 0.8f};
  const int32_t segment = 3;
  clipengine_sweep_plan plan{};
  plan.prompts = prompts.data();
  plan.prompt_count = 3;
  plan.width = 2;
  plan.segment_lengths = &segment;
  plan.segment_count = 1;
  plan.group_count = 1;
  plan.scale = 10;
  plan.prompt_type = CLIPENGINE_SWEEP_FLOAT32;
  plan.activation = CLIPENGINE_SWEEP_SOFTMAX;
  clipengine_cuda_sweep* sweep = nullptr;
  int64_t failed = -1;
  CHECK_EQUAL(clipengine_cuda_sweep_create(&device, 1, &plan, &sweep, &failed), CLIPENGINE_OK);
  clipengine_sweep_batch batch{};
  batch.rows = rows.data();
  batch.row_count = 4;
  batch.row_type = CLIPENGINE_SWEEP_FLOAT32;
  const size_t before = received().size();
  clipengine_cuda_features* features = nullptr;
  CHECK_EQUAL(clipengine_cuda_features_create(&device, 1, &batch, 2, 1, &features), CLIPENGINE_OK);
  CHECK_EQUAL(clipengine_cuda_sweep_run(sweep, &batch, features, 0), CLIPENGINE_OK);
  const std::string expected =
      "+features to the device\n-\n+sweep\n+sweep: rows to the device\n-\n+sweep: kernels\n-\n+sweep: results from the device\n-\n-\n";
  CHECK_EQUAL(received().substr(before), is_recording_expected() ? expected : std::string());
  clipengine_cuda_features_destroy(features);
  clipengine_cuda_sweep_destroy(sweep);
  clipengine_cuda_device_close(device);
}

CLIPENGINE_TEST_MAIN()
