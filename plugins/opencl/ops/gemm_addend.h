// GemmAddend: an epilogue that adds a multiple of another matrix before what follows.
//
// Made while a plan is made; immutable.
#pragma once

#include <memory>
#include <vector>

#include "plugins/opencl/op.h"

namespace tenon::opencl {

class GemmAddend final : public Epilogue {
 public:
  // c: [rows, columns] as the product's tile sees them, any strides. accumulator: the type of sums; c's type is computed in it.
  GemmAddend(std::shared_ptr<const Epilogue> next, Tensor c, std::int32_t accumulator, double factor);
  std::string parameters() const override;
  std::string statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const override;
  std::vector<std::string> helpers(const std::vector<int>& widths) const override { return next_->helpers(widths); }
  // Of the parameters that stand before next's.
  std::vector<Arg> args() const;

 private:
  std::int64_t stride(std::size_t axis) const { return c_.dims[axis] == 1 ? 0 : c_.strides[axis]; }

  std::shared_ptr<const Epilogue> next_;
  Tensor c_;
  Compute compute_;
  double factor_;
};

}  // namespace tenon::opencl
