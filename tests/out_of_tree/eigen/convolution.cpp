// Conv of images: columns of the image times the weights, one product for each image and group.
#include <algorithm>
#include <vector>

#include "kernels.h"

namespace eigen {
namespace {

struct Conv {
  std::int64_t group = 1;
  std::vector<std::int64_t> strides, dilations, pads;  // [2], [2], [top, left, bottom, right]
  std::string auto_pad;
};

std::optional<Refusal> supports(const Node& node) {
  if (auto no = only_float32(node)) return no;
  if (!node.input(1)) return Refusal{TENON_REJECT_OTHER, "the weights are missing"};
  if (node.input(0)->rank != 4 || node.input(1)->rank != 4) return Refusal{TENON_REJECT_RANK, "only images: [N, C, H, W]"};
  return std::nullopt;
}

std::shared_ptr<const void> prepare(const Node& node) {
  auto conv = std::make_shared<Conv>();
  const auto or_else = [](std::vector<std::int64_t> given, std::size_t n, std::int64_t value) {
    return given.size() == n ? given : std::vector<std::int64_t>(n, value);
  };
  conv->group = node.integer("group", 1);
  conv->strides = or_else(node.integers("strides"), 2, 1);
  conv->dilations = or_else(node.integers("dilations"), 2, 1);
  conv->pads = or_else(node.integers("pads"), 4, 0);
  conv->auto_pad = node.text("auto_pad", "NOTSET");
  return conv;
}

void run(const Call& call) {
  const Conv& conv = *static_cast<const Conv*>(call.prepared);
  const auto& x = call.inputs[0];
  const auto& w = call.inputs[1];
  const auto& y = call.outputs[0];
  const std::int64_t channels = x.dims[1], height = x.dims[2], width = x.dims[3];
  const std::int64_t filters = w.dims[0] / conv.group, depth = w.dims[1], kernel_h = w.dims[2], kernel_w = w.dims[3];
  const std::int64_t out_h = y.dims[2], out_w = y.dims[3], rows = depth * kernel_h * kernel_w, columns = out_h * out_w;
  if (y.count() == 0) return;
  std::int64_t top = conv.pads[0], left = conv.pads[1];
  if (conv.auto_pad == "VALID") top = left = 0;
  else if (conv.auto_pad != "NOTSET") {  // SAME_UPPER, SAME_LOWER
    const std::int64_t upper = conv.auto_pad == "SAME_UPPER" ? 0 : 1;
    const auto before = [&](int axis, std::int64_t in, std::int64_t out, std::int64_t kernel) {
      return (std::max<std::int64_t>(0, (out - 1) * conv.strides[axis] + (kernel - 1) * conv.dilations[axis] + 1 - in) + upper) / 2;
    };
    top = before(0, height, out_h, kernel_h), left = before(1, width, out_w, kernel_w);
  }
  const float* bias = call.inputs.size() > 2 ? call.inputs[2].as<float>() : nullptr;
  spread(call, x.dims[0] * conv.group, [&](std::int64_t piece) {
    const std::int64_t image = piece / conv.group, group = piece % conv.group;
    const float* from = x.as<float>() + (image * channels + group * depth) * height * width;
    std::vector<float> column(static_cast<std::size_t>(rows * columns));
    float* to = column.data();
    for (std::int64_t c = 0; c < depth; ++c)
      for (std::int64_t i = 0; i < kernel_h; ++i)
        for (std::int64_t j = 0; j < kernel_w; ++j)
          for (std::int64_t r = 0; r < out_h; ++r) {
            const std::int64_t row = r * conv.strides[0] - top + i * conv.dilations[0];
            for (std::int64_t s = 0; s < out_w; ++s) {
              const std::int64_t at = s * conv.strides[1] - left + j * conv.dilations[1];
              *to++ = row >= 0 && row < height && at >= 0 && at < width ? from[(c * height + row) * width + at] : 0;
            }
          }
    Matrix result(y.as<float>() + (image * conv.group + group) * filters * columns, filters, columns);
    result.noalias() = ConstMatrix(w.as<float>() + group * filters * rows, filters, rows) * ConstMatrix(column.data(), rows, columns);
    if (bias) result.colwise() += Eigen::Map<const Eigen::VectorXf>(bias + group * filters, filters);
  });
}

}  // namespace

Kernel convolution() { return {"", "Conv", supports, prepare, run}; }

}  // namespace eigen
