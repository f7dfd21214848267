#include "cpu/pass.h"

#include <memory>

#include "clipengine_cpu.h"
#include "core/status.h"
#include "cpu/isa.h"

extern "C" clipengine_status clipengine_cpu_pass_create(int32_t isa, int32_t compute_type, clipengine_cpu_pass** pass) noexcept {
  return clipengine::guard([&] {
    auto made = std::make_unique<clipengine_cpu_pass>();
    made->kernels = &clipengine::cpu::kernels_of(isa);
    made->attention_in_bf16 = made->kernels->attention_bf16 != nullptr && compute_type == CLIPENGINE_BFLOAT16;
    *pass = made.release();
  });
}

extern "C" void clipengine_cpu_pass_destroy(clipengine_cpu_pass* pass) noexcept { delete pass; }

extern "C" clipengine_status clipengine_cpu_allocate(clipengine_cpu_pass* pass, int64_t bytes, void** memory) noexcept {
  return clipengine::guard([&] { *memory = pass->arena.allocate(bytes); });
}

extern "C" int64_t clipengine_cpu_mark(const clipengine_cpu_pass* pass) noexcept { return pass->arena.mark(); }

extern "C" void clipengine_cpu_release(clipengine_cpu_pass* pass, int64_t mark) noexcept { pass->arena.release(mark); }
