// GemmRequantize: an epilogue that turns int32 sums into bytes: y = sum / (y_scale / (a_scale * b_scale)) + y_zero, rounded and saturated.
//
// Made while a plan is made; immutable.
#pragma once

#include <memory>
#include <vector>

#include "plugins/opencl/op.h"

namespace tenon::opencl {

class GemmRequantize final : public Epilogue {
 public:
  struct Scales {
    Tensor a, b, y, y_zero;  // dense; b has one element or one for each column, the others have one
  };
  // next takes numbers of the output's type.
  GemmRequantize(std::shared_ptr<const Epilogue> next, Scales scales, std::int32_t output);
  std::string parameters() const override;
  std::string statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const override;
  std::vector<std::string> helpers(const std::vector<int>& widths) const override { return next_->helpers(widths); }
  // Of the parameters that stand before next's.
  std::vector<Arg> args() const;

 private:
  std::shared_ptr<const Epilogue> next_;
  Scales scales_;
  std::int32_t output_;
};

}  // namespace tenon::opencl
