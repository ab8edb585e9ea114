#include "plugins/cpu/ops/conv_shape.h"

#include <algorithm>

namespace tenon::cpu {
namespace {

// Larger numbers have no use here; below it sums and products of a few stay in range.
constexpr std::int64_t kLimit = std::int64_t{1} << 30;

bool read_list(const NodeView& node, const char* name, int count, std::int64_t least, std::int64_t* out, std::string& error) {
  const auto list = node.ints(name);
  if (list.empty()) return true;
  if (list.size() != static_cast<std::size_t>(count)) {
    error = std::string(name) + " has " + std::to_string(list.size()) + " numbers, expected " + std::to_string(count);
    return false;
  }
  for (int i = 0; i < count; ++i) {
    const std::int64_t v = list[static_cast<std::size_t>(i)];
    if (v < least || v > kLimit) {
      error = std::string(name) + " holds " + std::to_string(v);
      return false;
    }
    out[i] = v;
  }
  return true;
}

}  // namespace

std::string WindowAttributes::read(const NodeView& node, int spatial, WindowAttributes& out) {
  std::string error;
  out = {};
  out.spatial = spatial;
  for (int d = 0; d < kMaxSpatial; ++d) out.strides[d] = out.dilations[d] = 1, out.pads_begin[d] = out.pads_end[d] = 0;
  std::int64_t pads[2 * kMaxSpatial] = {};
  if (!read_list(node, "kernel_shape", spatial, 1, out.kernel, error)) return error;
  if (!read_list(node, "strides", spatial, 1, out.strides, error)) return error;
  if (!read_list(node, "dilations", spatial, 1, out.dilations, error)) return error;
  if (!read_list(node, "pads", 2 * spatial, -kLimit, pads, error)) return error;
  for (int d = 0; d < spatial; ++d) out.pads_begin[d] = pads[d], out.pads_end[d] = pads[d + spatial];
  const std::string_view how = node.string_or("auto_pad", "NOTSET");
  if (how == "SAME_UPPER") out.auto_pad = AutoPad::same_upper;
  else if (how == "SAME_LOWER") out.auto_pad = AutoPad::same_lower;
  else if (how == "VALID") out.auto_pad = AutoPad::valid;
  else if (how != "NOTSET" && !how.empty()) return "auto_pad is " + std::string(how);
  out.ceil_mode = node.int_or("ceil_mode", 0) != 0;
  return {};
}

Window WindowAttributes::resolve(int d, std::int64_t in, std::int64_t kernel_size) const {
  Window w{in, 0, kernel_size, strides[d], dilations[d], pads_begin[d]};
  require(in >= 0 && in <= kLimit && kernel_size >= 1 && kernel_size <= kLimit && (kernel_size - 1) <= kLimit / w.dilation,
          "sizes are out of range");
  if (auto_pad == AutoPad::same_upper || auto_pad == AutoPad::same_lower) {
    w.out = (in + w.stride - 1) / w.stride;
    const std::int64_t total = std::max<std::int64_t>(0, (w.out - 1) * w.stride + w.reach() - in);
    w.pad = auto_pad == AutoPad::same_upper ? total / 2 : total - total / 2;
    return w;
  }
  if (auto_pad == AutoPad::valid) w.pad = 0;
  const std::int64_t padded = auto_pad == AutoPad::valid ? in : in + pads_begin[d] + pads_end[d];
  const std::int64_t room = padded - w.reach();
  if (room < 0) return w;
  w.out = room / w.stride + 1;
  if (ceil_mode) {
    if (room % w.stride != 0) ++w.out;
    // A window that starts behind the input and its leading padding is not made.
    if ((w.out - 1) * w.stride >= in + w.pad) --w.out;
  }
  return w;
}

Support supports_window(const NodeView& node, std::int32_t min_rank) {
  const std::int32_t rank = node.rank(0);
  if (rank < 0) return Support::no(TENON_REJECT_RANK, "the rank of the input is not known");
  if (rank < min_rank || rank > 2 + kMaxSpatial)
    return Support::no(TENON_REJECT_RANK,
                       "the input has rank " + std::to_string(rank) + ", supported are " + std::to_string(min_rank) + " to 5");
  WindowAttributes w;
  if (const std::string error = WindowAttributes::read(node, rank - 2, w); !error.empty())
    return Support::no(TENON_REJECT_ATTRIBUTE, error);
  return Support::yes();
}

void require(bool ok, const std::string& text) {
  if (!ok) throw Failure{TENON_INVALID_ARGUMENT, text};
}

}  // namespace tenon::cpu
