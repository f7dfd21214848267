// Kernels against their plain twins in every mode, parts of images against the whole, and bytes turned over in every sample file.
#include <dirent.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>

#include "check.h"
#include "image/transform.h"

using namespace clipengine;
using namespace clipengine::image;

namespace {

std::vector<const ResampleKernels*> kernels() {
  std::vector<const ResampleKernels*> all = {&kPlainKernels};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) all.push_back(&kAvx2Kernels);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) all.push_back(&kAvx512Kernels);
#elif defined(__aarch64__)
  all.push_back(&kNeonKernels);
#endif
  return all;
}

// An image that exists only as a formula: noisy enough to make weights and saturation matter.
class DrawnImage final : public Decoder {
 public:
  DrawnImage(int width, int height, PixelMode mode = PixelMode::kRgb) {
    set_size("drawn", width, height);
    mode_ = mode;
  }
  int format() const override { return CLIPENGINE_IMAGE_PNG; }
  void read_rows(uint8_t* rows, size_t stride, int count) override {
    const size_t pixel = bytes_of_pixel(mode_);
    for (int i = 0; i < count; ++i, ++row_) {
      for (int x = window_.left; x < window_.right; ++x) {
        for (size_t c = 0; c < pixel; ++c) {
          const uint32_t hash = (static_cast<uint32_t>(x) * 2654435761u) ^ (static_cast<uint32_t>(window_.top + row_) * 2246822519u) ^ (static_cast<uint32_t>(c) * 374761393u);
          // A third each of black, white and anything: edges make cubic weights overshoot.
          const uint32_t mixed = (hash ^ hash >> 15) * 2654435761u >> 8;
          rows[static_cast<size_t>(i) * stride + static_cast<size_t>(x - window_.left) * pixel + c] = mixed % 3 == 0 ? 0 : mixed % 3 == 1 ? 255 : static_cast<uint8_t>(mixed >> 8);
        }
      }
    }
  }
  void finish() override {}

 private:
  int row_ = 0;
};

class Collect final : public RowSink {
 public:
  Collect(int height, int width) : row_bytes_(static_cast<size_t>(width) * 3), rgb_(row_bytes_ * static_cast<size_t>(height)) {}
  void row(int y, const uint8_t* rgb) override {
    std::copy(rgb, rgb + row_bytes_, rgb_.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(y) * row_bytes_));
    ++rows;
  }
  const std::vector<uint8_t>& rgb() const { return rgb_; }
  int rows = 0;

 private:
  size_t row_bytes_;
  std::vector<uint8_t> rgb_;
};

clipengine_image_transform transform_of(int height, int width, int mode, int interpolation) {
  clipengine_image_transform transform{};
  transform.height = height;
  transform.width = width;
  transform.resize_mode = mode;
  transform.interpolation = interpolation;
  return transform;
}

struct File {
  std::string name;
  std::vector<uint8_t> bytes;
};

// The sample images of tests/data/preprocess; CTest runs with the source tree at hand.
std::vector<File> samples(size_t largest) {
  const std::string folder = CLIPENGINE_SOURCE_DIR "/tests/data/preprocess/images";
  std::vector<File> files;
  DIR* open = opendir(folder.c_str());
  if (open == nullptr) throw std::runtime_error("no folder " + folder);
  while (const dirent* entry = readdir(open)) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream stream(folder + "/" + entry->d_name, std::ios::binary);
    File file{entry->d_name, std::vector<uint8_t>(std::istreambuf_iterator<char>(stream), {})};
    if (file.bytes.size() <= largest) files.push_back(std::move(file));
  }
  closedir(open);
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.name < b.name; });
  return files;
}

std::vector<uint8_t> decode(Decoder& decoder, const Window& window) {
  decoder.set_window(window);
  const size_t row_bytes = static_cast<size_t>(window.width()) * bytes_of_pixel(decoder.mode());
  std::vector<uint8_t> rows(row_bytes * static_cast<size_t>(window.height()));
  decoder.read_rows(rows.data(), row_bytes, window.height());
  decoder.finish();
  return rows;
}

}  // namespace

CLIPENGINE_TEST(every_kernel_gives_the_bits_of_the_plain_one) {
  const int sizes[][2] = {{1, 1}, {2, 3}, {7, 1}, {17, 50}, {50, 17}, {77, 257}, {257, 77}, {640, 31}, {31, 640}, {1023, 600}};
  const int targets[][2] = {{1, 1}, {1, 7}, {17, 17}, {32, 32}, {50, 77}, {77, 50}, {224, 224}, {257, 257}};
  const PixelMode modes[] = {PixelMode::kRgb, PixelMode::kRgba, PixelMode::kCmyk};
  for (const auto& size : sizes) {
    for (const auto& target : targets) {
      for (int choice = 0; choice < 24; ++choice) {
        clipengine_image_transform transform = transform_of(target[0], target[1], choice % 2, choice / 2 % 2);
        transform.resampler = choice / 4 % 3;
        transform.rgb_order = transform.resampler == CLIPENGINE_RESAMPLER_TORCHVISION ? CLIPENGINE_RGB_FIRST : CLIPENGINE_RGB_LAST;
        transform.crop_start = choice / 12;
        for (const PixelMode mode : modes) {
          std::vector<uint8_t> expected;
          for (const ResampleKernels* kernel : kernels()) {
            DrawnImage image(size[0], size[1], mode);
            Collect out(target[0], target[1]);
            transform_image(image, transform, *kernel, out);
            CHECK_EQUAL(out.rows, target[0]);
            if (expected.empty()) expected = out.rgb();
            if (out.rgb() != expected) {
              clipengine_test::report(__FILE__, __LINE__, std::string(kernel->name) + " differs: " + std::to_string(size[0]) + " x " + std::to_string(size[1]) + " to " +
                                                              std::to_string(target[1]) + " x " + std::to_string(target[0]) + ", choice " + std::to_string(choice));
            }
          }
        }
      }
    }
  }
}

CLIPENGINE_TEST(torchvisions_weights_are_as_fine_as_16_bits_allow) {
  // The definition, over the whole axis and without a shortcut.
  const int sizes[][2] = {{1, 7}, {7, 1}, {10, 10}, {31, 224}, {224, 31}, {97, 64}, {1000, 125}, {3, 6000}, {6000, 3}, {640, 641}};
  for (const auto& size : sizes) {
    for (const Filter filter : {Filter::kBicubic, Filter::kBilinear}) {
      const Weights exact = make_weights(filter, Rounding::kNone, size[0], size[1], 0, size[1]);
      const double largest = *std::max_element(exact.exact.begin(), exact.exact.end());
      int bits = 0;
      while (bits < 22 && static_cast<int64_t>(0.5 + largest * static_cast<double>(1 << (bits + 1))) < 1 << 15) ++bits;
      // A part of the axis is weighted as the whole is.
      const Weights narrow = make_weights(filter, Rounding::kTorchvision, size[0], size[1], size[1] / 2, size[1] / 2 + 1);
      CHECK_EQUAL(narrow.bits, bits);
      for (const int32_t value : narrow.value) CHECK(value >= -(1 << 15) && value < 1 << 15);
    }
  }
}

CLIPENGINE_TEST(kernels_stay_inside_their_rows) {
  // Rows of exactly the promised size behind a canary; what kernels write behind a row lies within its padding.
  std::mt19937 random(3);
  for (const ResampleKernels* kernel : kernels()) {
    for (const int width : {1, 5, 16, 17, 63, 64, 65, 301}) {
      const int output = 1 + static_cast<int>(random() % 90);
      const int channels = 3 + static_cast<int>(random() % 2);
      const PackedWeights weights = PackedWeights::horizontal(make_weights(Filter::kBicubic, Rounding::kPillow, width, output, 0, output), channels, 0, kernel->lanes);
      for (const int rows : {1, 3, 4, 7}) {
        const size_t stride = static_cast<size_t>(width * channels) + kRowPadding;
        const size_t out_stride = static_cast<size_t>(output * channels) + kRowPadding;
        std::vector<uint8_t> in(stride * static_cast<size_t>(rows));
        for (uint8_t& byte : in) byte = static_cast<uint8_t>(random());
        std::vector<uint8_t> out(out_stride * static_cast<size_t>(rows) + 16, 0xA5);
        kernel->horizontal(weights.horizontal_pass(), in.data(), stride, rows, out.data(), out_stride);
        CHECK(std::all_of(out.end() - 16, out.end(), [](uint8_t byte) { return byte == 0xA5; }));
      }
    }
  }
}

CLIPENGINE_TEST(a_part_of_an_image_equals_that_part_of_the_whole) {
  std::mt19937 random(11);
  for (const File& file : samples(700'000)) {
    const Bytes bytes{file.bytes.data(), file.bytes.size()};
    const std::unique_ptr<Decoder> whole_decoder = open_image(bytes);
    const int width = whole_decoder->width();
    const int height = whole_decoder->height();
    const std::vector<uint8_t> whole = decode(*whole_decoder, {0, width, 0, height});
    const size_t pixel = bytes_of_pixel(whole_decoder->mode());
    const bool jpeg = whole_decoder->format() == CLIPENGINE_IMAGE_JPEG;
    for (int i = 0; i < (jpeg ? 60 : 4); ++i) {
      Window window{};
      window.left = static_cast<int>(random() % static_cast<unsigned>(width));
      window.right = window.left + 1 + static_cast<int>(random() % static_cast<unsigned>(width - window.left));
      window.top = static_cast<int>(random() % static_cast<unsigned>(height));
      window.bottom = window.top + 1 + static_cast<int>(random() % static_cast<unsigned>(height - window.top));
      if (i % 3 == 0) window = {window.left, window.right, 0, height};
      if (i % 3 == 1) window = {0, width, window.top, window.bottom};
      const std::unique_ptr<Decoder> decoder = open_image(bytes);
      const std::vector<uint8_t> part = decode(*decoder, window);
      bool same = true;
      for (int y = 0; y < window.height(); ++y) {
        same = same && std::memcmp(part.data() + static_cast<size_t>(y) * static_cast<size_t>(window.width()) * pixel,
                                   whole.data() + (static_cast<size_t>(window.top + y) * static_cast<size_t>(width) + static_cast<size_t>(window.left)) * pixel,
                                   static_cast<size_t>(window.width()) * pixel) == 0;
      }
      if (!same) {
        clipengine_test::report(__FILE__, __LINE__, file.name + ": columns " + std::to_string(window.left) + " to " + std::to_string(window.right) + ", rows " +
                                                        std::to_string(window.top) + " to " + std::to_string(window.bottom) + " differ from the whole image");
      }
    }
  }
}

CLIPENGINE_TEST(turned_bytes_and_cut_files_are_refused_or_decoded_but_never_crash) {
  std::mt19937 random(29);
  const int tries = std::getenv("CLIPENGINE_LONG") != nullptr ? 400 : 40;
  const clipengine_image_transform transform = transform_of(32, 32, CLIPENGINE_RESIZE_SHORTEST, CLIPENGINE_INTERPOLATION_BICUBIC);
  std::vector<uint8_t> crop(32 * 32 * 3);
  int accepted = 0;
  int refused = 0;
  for (const File& file : samples(120'000)) {
    for (int i = 0; i < tries; ++i) {
      std::vector<uint8_t> mutant = file.bytes;
      if (i % 4 == 0) {
        mutant.resize(random() % mutant.size());
      } else {
        const size_t reach = i % 2 == 0 ? std::min<size_t>(mutant.size(), 200) : mutant.size();
        for (int k = 0; k < 1 + i % 3; ++k) mutant[random() % reach] = static_cast<uint8_t>(random());
      }
      const clipengine_status status = clipengine_image_crop(mutant.data(), static_cast<int64_t>(mutant.size()), &transform, crop.data());
      if (status == CLIPENGINE_OK) {
        ++accepted;
        CHECK_EQUAL(clipengine_image_problem(), 0);
      } else {
        ++refused;
        CHECK_EQUAL(status, CLIPENGINE_BAD_INPUT);
        CHECK(clipengine_image_problem() >= 1 && clipengine_image_problem() <= 5);
        char message[1024];
        CHECK(clipengine_image_error_message(message, sizeof message) > 10);
        CHECK(std::strlen(message) < 400);
      }
    }
  }
  CHECK(accepted > 0 && refused > 0);
}

CLIPENGINE_TEST(the_borders_arguments_are_checked) {
  clipengine_image_info info;
  uint8_t pixel[3];
  clipengine_image_transform transform = transform_of(1, 1, 0, 0);
  CHECK_EQUAL(clipengine_image_probe(nullptr, 1, &info), CLIPENGINE_INVALID_ARGUMENT);
  CHECK_EQUAL(clipengine_image_probe(pixel, -1, &info), CLIPENGINE_INVALID_ARGUMENT);
  CHECK_EQUAL(clipengine_image_probe(pixel, 1, nullptr), CLIPENGINE_INVALID_ARGUMENT);
  CHECK_EQUAL(clipengine_image_crop(pixel, 1, nullptr, pixel), CLIPENGINE_INVALID_ARGUMENT);
  CHECK_EQUAL(clipengine_image_probe(nullptr, 0, &info), CLIPENGINE_BAD_INPUT);
  CHECK_EQUAL(clipengine_image_problem(), CLIPENGINE_IMAGE_NOT_AN_IMAGE);
  const File file = samples(100).front();
  transform.resampler = CLIPENGINE_RESAMPLER_TORCHVISION; // which converts first
  CHECK_EQUAL(clipengine_image_crop(file.bytes.data(), static_cast<int64_t>(file.bytes.size()), &transform, pixel), CLIPENGINE_INVALID_ARGUMENT);
  transform.height = 8193;
  CHECK_EQUAL(clipengine_image_crop(file.bytes.data(), static_cast<int64_t>(file.bytes.size()), &transform, pixel), CLIPENGINE_INVALID_ARGUMENT);
  CHECK_EQUAL(clipengine_image_decode(file.bytes.data(), static_cast<int64_t>(file.bytes.size()), pixel, 1), CLIPENGINE_INVALID_ARGUMENT);
}

CLIPENGINE_TEST_MAIN()
