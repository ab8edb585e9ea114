#include "plugins/opencl/codegen/conv_geometry.h"

#include <limits>

namespace tenon::opencl {

bool ConvGeometry::fits() const {
  constexpr double limit = std::numeric_limits<std::int32_t>::max() / 2;
  const double pixels = static_cast<double>(n) * static_cast<double>(in_pixels()), outs = static_cast<double>(n) * static_cast<double>(out_pixels());
  for (const ConvAxis* a : {&d, &h, &w}) {
    const double reach = static_cast<double>(a->out) * static_cast<double>(a->stride) + static_cast<double>(a->kernel) * static_cast<double>(a->dilation);
    if (reach > limit || static_cast<double>(a->pad) > limit || static_cast<double>(a->pad) < -limit) return false;
  }
  return pixels * static_cast<double>(groups * ic) < limit && outs * static_cast<double>(groups * oc) < 2 * limit && outs < limit &&
         static_cast<double>(taps()) * static_cast<double>(ic) * static_cast<double>(groups * oc) < limit;
}

std::vector<std::int32_t> ConvGeometry::arguments() const {
  std::vector<std::int32_t> list{static_cast<std::int32_t>(n), static_cast<std::int32_t>(groups), static_cast<std::int32_t>(ic), static_cast<std::int32_t>(oc)};
  for (const ConvAxis* a : {&d, &h, &w})
    for (std::int64_t v : {a->in, a->out, a->kernel, a->stride, a->dilation, a->pad}) list.push_back(static_cast<std::int32_t>(v));
  return list;
}

const char* conv_size_parameters() {
  return ", int N, int G, int IC, int OC"
         ", int ID, int OD, int KD, int SD, int DD, int PD"
         ", int IH, int OH, int KH, int SH, int DH, int PH"
         ", int IW, int OW, int KW, int SW, int DW, int PW";
}

}  // namespace tenon::opencl
