// The two passes of a resize over rows of any kind of pixel.
#pragma once

#include <vector>

#include "image/resample.h"

namespace clipengine::image {

// Outputs [begin, end) along one axis of a resized image, and the inputs [first, last) that they are made of.
struct Axis {
  int64_t begin;
  int64_t end;
  bool resized;
  int first;
  int last;
  Weights weights;  // where resized; weights.first counts from the image's edge

  int outputs() const { return static_cast<int>(end - begin); }
  int inputs() const { return last - first; }
};

Axis plan_axis(Filter filter, Rounding rounding, int input, int64_t output, int64_t offset, int target);

// Resizes rows. A pass along an axis that is not resized is never called.
class ResizePasses {
 public:
  virtual ~ResizePasses() = default;

  size_t pixel() const { return pixel_; }  // bytes

  // rows [count, columns.inputs()], stride bytes apart and readable for kRowPadding bytes behind their end, to
  // out [count, columns.outputs()], out_stride apart and writable for as much behind its end.
  virtual void horizontal(const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride) const = 0;

  // The rows that output is made of, stride apart, to out [pixels]; padded as above.
  virtual void vertical(size_t output, const uint8_t* rows, size_t stride, uint8_t* out, size_t pixels) const = 0;

 protected:
  explicit ResizePasses(size_t pixel) : pixel_(pixel) {}

 private:
  size_t pixel_;
};

// Pixels of 3 or 4 bytes, each byte for itself.
class BytePasses final : public ResizePasses {
 public:
  BytePasses(int channels, const Axis& columns, const Axis& rows, const ResampleKernels& kernels);
  void horizontal(const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride) const override;
  void vertical(size_t output, const uint8_t* rows, size_t stride, uint8_t* out, size_t pixels) const override;

 private:
  const ResampleKernels& kernels_;
  PackedWeights columns_;
  PackedWeights rows_;
};

// 16-bit gray in double precision, as Pillow resizes "I;16". The axes must outlive it.
class Gray16Passes final : public ResizePasses {
 public:
  Gray16Passes(const Axis& columns, const Axis& rows) : ResizePasses(2), columns_(columns), rows_(rows) {}
  void horizontal(const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride) const override;
  void vertical(size_t output, const uint8_t* rows, size_t stride, uint8_t* out, size_t pixels) const override;

 private:
  template <int Rows>
  void horizontal_rows(const uint8_t* rows, size_t stride, uint8_t* out, size_t out_stride) const;

  const Axis& columns_;
  const Axis& rows_;
  mutable std::vector<double> sums_;
};

}  // namespace clipengine::image
