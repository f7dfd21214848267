// The ceilings' kernels do what is counted: no multiply-add more or less, and a copy of every byte.
#define CLIPENGINE_CUDA_EMULATOR 1
#include "cuda/kernels/ceilings.cu"
#include "emulated.h"

using namespace emulated;

namespace {

template <typename Kernel>
void check_multiplication(Kernel kernel, int blocks, int rounds, int64_t of_a_thread) {
  Buffer<int64_t> done((size_t)blocks * kCeilingThreads);
  run({(unsigned)blocks, 1, 1}, kCeilingThreads, 0, kernel, 1.0f, rounds, done.data());
  CHECK(done.guards_are_intact());
  for (size_t i = 0; i < done.size(); ++i) CHECK_EQUAL(done[i], rounds * of_a_thread);
  // Twice the value gives four times the sum: the operands are the ones that were given.
  run({(unsigned)blocks, 1, 1}, kCeilingThreads, 0, kernel, 2.0f, rounds, done.data());
  for (size_t i = 0; i < done.size(); ++i) CHECK_EQUAL(done[i], 4 * rounds * of_a_thread);
}

}  // namespace

CLIPENGINE_TEST(products_in_registers_return_their_number) {
  // A tile of 16 x 8 is 4 elements a thread, each of 16 multiply-adds (tf32: 8).
  for (int rounds : {0, 1, 3}) {
    check_multiplication(ceiling_bf16, 2, rounds, 8 * 4 * 16);
    check_multiplication(ceiling_fp16, 1, rounds, 8 * 4 * 16);
    check_multiplication(ceiling_tf32, 2, rounds, 8 * 4 * 8);
    check_multiplication(ceiling_fp32, 3, rounds, 16);
  }
}

CLIPENGINE_TEST(every_byte_is_copied_and_no_other) {
  for (auto [blocks, pieces] : {std::array{1, 1}, {1, 255}, {2, 512}, {1, 1023}, {1, 1024}, {1, 1025}, {2, 5000}, {3, 3072}, {3, 7}}) {
    auto source = to_buffer<float>(random_values((size_t)pieces * 4));
    Buffer<float> destination((size_t)pieces * 4);
    run({(unsigned)blocks, 1, 1}, kCeilingThreads, 0, ceiling_copy, reinterpret_cast<const CeilingPiece*>(source.data()), reinterpret_cast<CeilingPiece*>(destination.data()), pieces);
    CHECK(destination.guards_are_intact() && source.guards_are_intact());
    for (size_t i = 0; i < source.size(); ++i) CHECK_EQUAL(float_to_bits(destination[i]), float_to_bits(source[i]));
  }
}

CLIPENGINE_TEST_MAIN()
