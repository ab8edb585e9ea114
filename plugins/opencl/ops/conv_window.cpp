#include "plugins/opencl/ops/conv_window.h"

#include <algorithm>

namespace tenon::opencl {
namespace {

// Larger numbers have no use here; below it sums and products of a few stay in range.
constexpr std::int64_t kLimit = std::int64_t{1} << 30;

std::string read_list(const Node& node, const char* name, int count, std::int64_t least, std::int64_t* out) {
  const std::vector<std::int64_t> list = node.integers(name);
  if (list.empty()) return {};
  if (list.size() != static_cast<std::size_t>(count))
    return std::string(name) + " has " + std::to_string(list.size()) + " numbers, expected " + std::to_string(count);
  for (std::int64_t v : list)
    if (v < least || v > kLimit) return std::string(name) + " holds " + std::to_string(v);
  std::copy(list.begin(), list.end(), out);
  return {};
}

}  // namespace

std::string ConvWindow::read(const Node& node, int spatial, ConvWindow& out) {
  out = {};
  out.spatial = spatial;
  std::int64_t pads[2 * kMaxSpatial] = {};
  for (const std::string& error : {read_list(node, "kernel_shape", spatial, 1, out.kernel), read_list(node, "strides", spatial, 1, out.strides),
                                   read_list(node, "dilations", spatial, 1, out.dilations), read_list(node, "pads", 2 * spatial, -kLimit, pads)})
    if (!error.empty()) return error;
  for (int d = 0; d < spatial; ++d) out.pads_begin[d] = pads[d], out.pads_end[d] = pads[d + spatial];
  const std::string how = node.text("auto_pad", "NOTSET");
  if (how == "SAME_UPPER") out.auto_pad = AutoPad::same_upper;
  else if (how == "SAME_LOWER") out.auto_pad = AutoPad::same_lower;
  else if (how == "VALID") out.auto_pad = AutoPad::valid;
  else if (how != "NOTSET" && !how.empty()) return "auto_pad is " + how;
  out.ceil_mode = node.integer("ceil_mode", 0) != 0;
  return {};
}

ConvAxis ConvWindow::resolve(int d, std::int64_t in, std::int64_t kernel_size) const {
  ConvAxis a{in, 0, kernel_size, strides[d], dilations[d], pads_begin[d]};
  require(in >= 0 && in <= kLimit && kernel_size >= 1 && kernel_size <= kLimit && kernel_size - 1 <= kLimit / a.dilation, "sizes are out of range");
  const std::int64_t reach = (a.kernel - 1) * a.dilation + 1;
  if (auto_pad == AutoPad::same_upper || auto_pad == AutoPad::same_lower) {
    a.out = (in + a.stride - 1) / a.stride;
    const std::int64_t total = std::max<std::int64_t>(0, (a.out - 1) * a.stride + reach - in);
    a.pad = auto_pad == AutoPad::same_upper ? total / 2 : total - total / 2;
    return a;
  }
  if (auto_pad == AutoPad::valid) a.pad = 0;
  const std::int64_t room = (auto_pad == AutoPad::valid ? in : in + pads_begin[d] + pads_end[d]) - reach;
  if (room < 0) return a;
  a.out = room / a.stride + 1;
  if (ceil_mode) {
    if (room % a.stride != 0) ++a.out;
    // A window that starts behind the input and its leading padding is not made.
    if ((a.out - 1) * a.stride >= in + a.pad) --a.out;
  }
  return a;
}

std::int64_t ConvWindow::pad_end(int d, const ConvAxis& a) const {
  if (auto_pad == AutoPad::notset) return pads_end[d];
  if (auto_pad == AutoPad::valid) return 0;
  return std::max<std::int64_t>(0, (a.out - 1) * a.stride + (a.kernel - 1) * a.dilation + 1 - a.in - a.pad);
}

ConvAxis& ConvWindow::axis(ConvGeometry& g, int d) const {
  ConvAxis* axes[kMaxSpatial] = {&g.d, &g.h, &g.w};
  return *axes[kMaxSpatial - spatial + d];
}

Support supports_window(const Node& node, std::int32_t min_rank) {
  const std::int32_t rank = node.input(0)->rank;
  if (rank < min_rank || rank > 2 + kMaxSpatial)
    return Support::no(TENON_REJECT_RANK, "the input has rank " + std::to_string(rank) + ", supported are " + std::to_string(min_rank) + " to 5");
  ConvWindow window;
  if (const std::string error = ConvWindow::read(node, rank - 2, window); !error.empty()) return Support::no(TENON_REJECT_ATTRIBUTE, error);
  return Support::yes();
}

void require(bool ok, const std::string& text) {
  if (!ok) throw Failure{TENON_INVALID_ARGUMENT, text};
}

TileSpace image_space(std::int64_t rank) {
  TileSpace space;
  space.batch = {0}, space.cols = {1};
  for (std::int64_t d = 2; d < rank; ++d) space.rows.push_back(d);
  space.layout = Layout::channels_last;
  return space;
}

}  // namespace tenon::opencl
