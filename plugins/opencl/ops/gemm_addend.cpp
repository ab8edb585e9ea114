#include "plugins/opencl/ops/gemm_addend.h"

namespace tenon::opencl {

GemmAddend::GemmAddend(std::shared_ptr<const Epilogue> next, Tensor c, std::int32_t accumulator, double factor)
    : next_(std::move(next)), c_(std::move(c)), compute_(compute_of(accumulator)), factor_(factor) {}

std::string GemmAddend::parameters() const {
  std::string p = ", __global const char* addend_base, ulong addend_at, int addend_r";
  if (stride(1) != 0 && stride(1) != 1) p += ", int addend_c";
  if (factor_ != 1) p += ", " + compute_name(compute_) + " beta";
  return p + next_->parameters();
}

std::vector<Arg> GemmAddend::args() const {
  std::vector<Arg> args{Arg::in(c_), Arg::i32(stride(0))};
  if (stride(1) != 0 && stride(1) != 1) args.push_back(Arg::i32(stride(1)));
  if (factor_ == 1) return args;
  switch (compute_) {
    case Compute::f32: args.push_back(Arg::f32(static_cast<float>(factor_))); break;
    case Compute::f64: args.push_back(Arg::f64(factor_)); break;
    case Compute::i32: case Compute::u32: args.push_back(Arg::i32(static_cast<std::int64_t>(factor_))); break;
    default: args.push_back(Arg::i64(static_cast<std::int64_t>(factor_)));
  }
  return args;
}

std::string GemmAddend::statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const {
  const std::string type = "__global const " + storage_name(c_.dtype) + "*", vector = compute_name(compute_, width);
  std::string value;
  if (stride(1) == 0) value = "(" + vector + ")(" + load_text(c_.dtype, 1, "addend", "0") + ")";
  else if (stride(1) == 1) value = load_text(c_.dtype, width, "addend", c);
  else value = gather_text(c_.dtype, width, "addend", "(long)(" + c + ") * addend_c", "addend_c");
  if (factor_ != 1) value = "(" + vector + ")(beta) * " + value;
  return "{ " + type + " addend = (" + type + ")(addend_base + addend_at) + (long)(" + r + ") * addend_r; " + acc + " += " + value + "; } " + next_->statements(acc, width, b, r, c);
}

}  // namespace tenon::opencl
