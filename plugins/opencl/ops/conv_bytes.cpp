// ConvInteger and QLinearConv: bytes in, sums in int32, which QLinearConv scales back to bytes.
#include <optional>

#include "plugins/opencl/codegen/conv_text.h"
#include "plugins/opencl/ops/conv_family.h"
#include "plugins/opencl/ops/conv_forms.h"

namespace tenon::opencl {
namespace {

// Stands before another epilogue: sums become bytes first.
class Requantized final : public Epilogue {
 public:
  Requantized(const Epilogue& next, std::int32_t dtype) : next_(next), dtype_(dtype) {}

  std::string parameters() const override {
    return ", __global const char* restrict xs_base, ulong xs_at, __global const char* restrict ws_base, ulong ws_at, int ws_count, "
           "__global const char* restrict ys_base, ulong ys_at, __global const char* restrict yz_base, ulong yz_at" +
           next_.parameters();
  }
  std::string statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const override {
    const std::string floats = compute_name(Compute::f32, width), ints = compute_name(Compute::i32, width), result = compute_name(compute_of(dtype_), width);
    const bool is_signed = dtype_ == TENON_DTYPE_INT8;
    // Sums far outside of the bytes' range are cut before the zero point is added, so that nothing overflows.
    return cat("{ __global const float* ws = (__global const float*)(ws_base + ws_at);\n        const float x_scale = *(__global const float*)(xs_base + xs_at), "
               "y_scale = *(__global const float*)(ys_base + ys_at); const int y_zero = *(__global const ", storage_name(dtype_), "*)(yz_base + yz_at);\n        ",
               floats, " scale = ws[0]; if (ws_count > 1) scale = ", load_text(TENON_DTYPE_FLOAT, width, "ws", c), ";\n        const ", ints, " scaled = convert_", ints, "_sat_rte(clamp(convert_",
               floats, "(", acc, ") * (x_scale * scale / y_scale), -65536.0f, 65536.0f));\n        const ", result, " bytes = convert_", result, "(clamp(scaled + y_zero, ",
               is_signed ? "-128, 127" : "0, 255", "));\n", next_.statements("bytes", width, b, r, c), " }");
  }
  std::vector<std::string> helpers(const std::vector<int>& widths) const override { return next_.helpers(widths); }

 private:
  const Epilogue& next_;
  std::int32_t dtype_;
};

// Which input is what; -1 where the operator has none.
struct Operands {
  int weight, input_zero, weight_zero, bias;
};
constexpr Operands kInteger{1, 2, 3, -1}, kLinear{3, 2, 5, 8};

class ByteConv final : public Op {
 public:
  ByteConv(const Node& node, CompileContext& context)
      : linear_(node.op_type() == "QLinearConv"), operands_(linear_ ? kLinear : kInteger), groups_(node.integer("group", 1)),
        types_(ConvTypes::bytes(node.input(0)->dtype, node.input(static_cast<std::size_t>(operands_.weight))->dtype)) {
    if (const std::string error = ConvWindow::read(node, node.input(0)->rank - 2, window_); !error.empty()) throw Failure{TENON_INVALID_ARGUMENT, error};
    std::vector<std::size_t> inputs;
    std::vector<int> roles;
    for (int role : {operands_.weight, operands_.bias, operands_.weight_zero, operands_.input_zero}) {
      const tenon_value* v = role < 0 ? nullptr : node.input(static_cast<std::size_t>(role));
      if (!v) continue;
      if (!is_constant(v)) return;
      inputs.push_back(static_cast<std::size_t>(role)), roles.push_back(role);
    }
    const tenon_value& w = *node.input(static_cast<std::size_t>(operands_.weight));
    const ConvGeometry g = weight_geometry(Dims(w.dims, w.dims + w.rank), groups_);
    if (g.oc <= 0 || g.ic <= 0 || g.taps() <= 0) return;
    for (std::size_t i = 0; i < roles.size(); ++i) {
      const tenon_value& v = *node.input(inputs[i]);
      std::int64_t count = 1;
      for (std::int32_t d = 0; d < v.rank; ++d) count *= v.dims[d];
      check_count(roles[i], count, g);
    }
    form_ = ConvForm::make(context.profile(), types_, g);
    weight_ = context.packed(node, inputs, form_->id(), form_->bytes(),
                             [form = *form_, roles, operands = operands_](std::span<const tenon_const_tensor> from, void* out) { pack(form, operands, roles, from, out); });
  }

  bool links_epilogue() const override { return true; }

  void plan(PlanBuilder& b) const override {
    const auto in = [&](int role) { return role < 0 ? Tensor{} : b.in(static_cast<std::size_t>(role)); };
    const Tensor x = b.in(0), w = in(operands_.weight), bias = in(operands_.bias);
    const ConvZeros zeros{in(operands_.input_zero), in(operands_.weight_zero)};
    const ConvGeometry g = conv_geometry(window_, groups_, x.dims, w.dims, b.out_shape(0).dims);
    for (int role : {operands_.bias, operands_.weight_zero, operands_.input_zero})
      if (const Tensor t = in(role); t.present()) check_count(role, t.count(), g);
    const LinkedEpilogue last = b.link(image_space(x.rank()), linear_ ? b.out_shape(0).dtype : TENON_DTYPE_INT32);
    if (b.out_shape(0).count() == 0) return;
    std::vector<Arg> args;
    if (linear_) {
      const Tensor scale = b.dense(b.in(4));
      require(b.in(1).count() == 1 && b.in(6).count() == 1 && b.in(7).count() == 1 && (scale.count() == 1 || scale.count() == w.dim(0)), "scales do not fit");
      args = {Arg::in(b.in(1)), Arg::in(scale), Arg::i32(scale.count()), Arg::in(b.in(6)), Arg::in(b.in(7))};
    }
    args.insert(args.end(), last.args.begin(), last.args.end());
    const Requantized requantized(*last.text, b.out_shape(0).dtype);
    const Epilogue& epilogue = linear_ ? static_cast<const Epilogue&>(requantized) : *last.text;
    if (form_) return launch_conv(b, *form_, g, x, Arg::weight(weight_), epilogue, std::move(args));
    const ConvForm form = ConvForm::make(b.profile(), types_, g);
    launch_conv(b, form, g, x, Arg::in(pack_on_device(b, form, w, bias, zeros)), epilogue, std::move(args));
  }

 private:
  void check_count(int role, std::int64_t count, const ConvGeometry& g) const {
    const std::int64_t channels = g.groups * g.oc;
    if (role == operands_.bias) require(count == channels, "one bias for each output channel is expected");
    if (role == operands_.weight_zero) require(count == 1 || count == channels, "the weights have " + std::to_string(count) + " zero points");
    if (role == operands_.input_zero) require(count == 1, "the input has one zero point");
  }

  static void pack(const ConvForm& form, const Operands& operands, const std::vector<int>& roles, std::span<const tenon_const_tensor> from, void* out) {
    ByteWeights bytes;
    bytes.is_signed = form.types.weight == TENON_DTYPE_INT8;
    const std::int32_t* bias = nullptr;
    for (std::size_t i = 0; i < roles.size(); ++i) {
      const tenon_const_tensor& t = from[i];
      if (roles[i] == operands.weight) bytes.weights = t.data;
      else if (roles[i] == operands.bias) bias = static_cast<const std::int32_t*>(t.data);
      else if (roles[i] == operands.input_zero) {
        bytes.input_zero_point = form.types.input == TENON_DTYPE_INT8 ? *static_cast<const std::int8_t*>(t.data) : *static_cast<const std::uint8_t*>(t.data);
      } else {
        bytes.zero_points = t.data;
        bytes.zero_point_count = static_cast<std::int64_t>(t.bytes);
      }
    }
    pack_conv_bytes(form.packing, bytes, bias, out);
  }

  bool linear_;
  Operands operands_;
  ConvWindow window_;
  std::int64_t groups_;
  ConvTypes types_;
  std::optional<ConvForm> form_;  // of constants
  Weight weight_;
};

Support supports_bytes(const Node& node, const Profile&) {
  const bool linear = node.op_type() == "QLinearConv";
  const Operands operands = linear ? kLinear : kInteger;
  const auto is_byte = [](const tenon_value* v) { return v && (v->dtype == TENON_DTYPE_INT8 || v->dtype == TENON_DTYPE_UINT8); };
  if (!node.input(0) || !node.input(static_cast<std::size_t>(operands.weight)) || !node.output(0)) return Support::no(TENON_REJECT_OTHER, "an input or output is missing");
  // Ranks of scales and zero points do not matter: their counts are looked at when sizes are known.
  if (node.input(0)->rank < 0 || node.input(static_cast<std::size_t>(operands.weight))->rank < 0) return Support::no(TENON_REJECT_RANK, "the rank of an input is not known");
  if (!is_byte(node.input(0)) || !is_byte(node.input(static_cast<std::size_t>(operands.weight)))) return Support::no(TENON_REJECT_DTYPE, "bytes only");
  const auto same_type = [&](int zero, int of) {
    const tenon_value* v = node.input(static_cast<std::size_t>(zero));
    return !v || v->dtype == node.input(static_cast<std::size_t>(of))->dtype;
  };
  if (!same_type(operands.input_zero, 0) || !same_type(operands.weight_zero, operands.weight)) return Support::no(TENON_REJECT_DTYPE, "a zero point has another type than what it belongs to");
  if (linear) {
    for (std::size_t i : {1, 4, 6})
      if (!node.input(i) || node.input(i)->dtype != TENON_DTYPE_FLOAT) return Support::no(TENON_REJECT_DTYPE, "scales are float32");
    if (!is_byte(node.output(0)) || !node.input(7) || node.input(7)->dtype != node.output(0)->dtype) return Support::no(TENON_REJECT_DTYPE, "bytes only");
    if (node.input(8) && node.input(8)->dtype != TENON_DTYPE_INT32) return Support::no(TENON_REJECT_DTYPE, "biases are int32");
  }
  if (const std::int64_t groups = node.integer("group", 1); groups < 1 || groups > (1 << 30)) return Support::no(TENON_REJECT_ATTRIBUTE, "group is out of range");
  return supports_window(node);
}

std::unique_ptr<Op> make_bytes(const Node& node, CompileContext& context) { return std::make_unique<ByteConv>(node, context); }

double byte_flops(const Node& node) {
  const tenon_value& w = *node.input(static_cast<std::size_t>(node.op_type() == "QLinearConv" ? kLinear.weight : kInteger.weight));
  double flops = 2 * opt_count(*node.output(0));
  for (std::int32_t d = 1; d < w.rank; ++d) flops *= opt_dim(w, d);
  return flops;
}

}  // namespace

std::span<const OpRow> byte_conv_rows() {
  static const OpRow rows[] = {{"", "ConvInteger", supports_bytes, make_bytes, byte_flops}, {"", "QLinearConv", supports_bytes, make_bytes, byte_flops}};
  return rows;
}

}  // namespace tenon::opencl
