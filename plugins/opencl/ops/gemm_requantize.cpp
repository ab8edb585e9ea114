#include "plugins/opencl/ops/gemm_requantize.h"

#include "plugins/opencl/codegen/gemm_text.h"

namespace tenon::opencl {

GemmRequantize::GemmRequantize(std::shared_ptr<const Epilogue> next, Scales scales, std::int32_t output)
    : next_(std::move(next)), scales_(std::move(scales)), output_(output) {}

std::string GemmRequantize::parameters() const {
  std::string p;
  for (const char* name : {"a_scale", "b_scale", "y_scale", "y_zero"}) p += std::string(", __global const char* ") + name + "_base, ulong " + name + "_at";
  return p + next_->parameters();
}

std::vector<Arg> GemmRequantize::args() const { return {Arg::in(scales_.a), Arg::in(scales_.b), Arg::in(scales_.y), Arg::in(scales_.y_zero)}; }

std::string GemmRequantize::statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const {
  const bool is_signed = output_ == TENON_DTYPE_INT8;
  const auto pointer = [](const char* name, std::int32_t dtype) {
    return filled("__global const $TYPE* $NAME = (__global const $TYPE*)($BASE + $AT); ",
                  {{"TYPE", storage_name(dtype)}, {"NAME", name}, {"BASE", std::string(name) + "_base"}, {"AT", std::string(name) + "_at"}});
  };
  const std::string vector = compute_name(Compute::f32, width), result = compute_name(compute_of(output_), width);
  const std::string b_scale = scales_.b.count() == 1 ? load_text(scales_.b.dtype, 1, "b_scale", "0") : load_text(scales_.b.dtype, width, "b_scale", c);
  std::string t = "{ " + pointer("a_scale", scales_.a.dtype) + pointer("b_scale", scales_.b.dtype) + pointer("y_scale", scales_.y.dtype) + pointer("y_zero", output_);
  t += filled(
      "const $VECTOR scale = ($VECTOR)($Y) / (($VECTOR)($A) * ($VECTOR)($B)); "
      "const $VECTOR whole = rint(clamp(convert_$VECTOR($ACC) / scale, -100000.0f, 100000.0f)) + (float)y_zero[0]; "
      "$RESULT quantized = convert_$RESULT(clamp(whole, $LEAST, $GREATEST)); ",
      {{"VECTOR", vector}, {"RESULT", result}, {"ACC", acc}, {"Y", load_text(scales_.y.dtype, 1, "y_scale", "0")}, {"A", load_text(scales_.a.dtype, 1, "a_scale", "0")},
       {"B", b_scale}, {"LEAST", is_signed ? "-128.0f" : "0.0f"}, {"GREATEST", is_signed ? "127.0f" : "255.0f"}});
  return t + next_->statements("quantized", width, b, r, c) + " }";
}

}  // namespace tenon::opencl
