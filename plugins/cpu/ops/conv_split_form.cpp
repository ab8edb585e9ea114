// SplitForm: how weights of convolutions on tiles lie in memory, and where they pay.
#include <algorithm>

#include "plugins/cpu/ops/conv_split.h"

namespace tenon::cpu {
namespace {

// Rates against direct convolution in float32 with AVX-512, of products that are not thrown away: 16 cycles for a product of tiles,
// 3 or 6 of them with two or three parts, and what loads and the rest cost. Winograd does 2.25 products in one, less its transforms.
double tile_rate(Precision precision) { return precision == Precision::highest ? 1.6 : precision == Precision::high ? 2.9 : 7; }
constexpr double winograd_rate = 2;

}  // namespace

SplitForm::SplitForm(const Options& options, std::int64_t groups, std::int64_t ic, std::int64_t oc, std::int64_t rows, std::int64_t columns)
    : kernels_(split_conv_kernels(options.isa, options.precision)), products_(gemm::split_kernels(options.isa, options.precision)), groups_(groups),
      ic_(ic), oc_(oc), rows_(rows), columns_(columns), lines_(ic < 16 && columns > 1) {}

std::string SplitForm::layout_id() const {
  return "conv_split/" + std::to_string(kernels_->parts) + "/" + std::to_string(groups_) + "x" + std::to_string(ic_) + "x" +
         std::to_string(oc_) + "x" + std::to_string(rows_) + "x" + std::to_string(columns_);
}

void SplitForm::pack(const float* weights, float* dst, std::int64_t begin, std::int64_t end) const {
  auto* to = reinterpret_cast<std::uint16_t*>(dst);
  const std::int64_t kernel = rows_ * columns_;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t group = i / panels(), panel = i % panels(), wide = width(panel), count = std::min(wide, oc_ - panel * 32);
    const float* from = weights + (group * oc_ + panel * 32) * ic_ * kernel;
    for (std::int64_t s = 0; s < steps(); ++s) {
      float step[32 * 32] = {};
      const std::int64_t chunk = s / taps(), tap = s % taps();
      for (std::int64_t k = 0; k < 32; ++k) {
        const std::int64_t input = chunk * 32 + k;
        if (input >= inputs()) break;
        // Channel and place in the kernel.
        const std::int64_t at = lines_ ? input % ic_ * kernel + tap * columns_ + input / ic_ : input * kernel + tap;
        for (std::int64_t j = 0; j < count; ++j) step[k * wide + j] = from[j * ic_ * kernel + at];
      }
      products_->split_columns(step, wide, wide, to + at(group, panel, s));
    }
  }
}

float SplitForm::weight(const std::uint16_t* packed, std::int64_t group, std::int64_t oc, std::int64_t ic, std::int64_t row,
                        std::int64_t column) const {
  const std::int64_t input = lines_ ? column * ic_ + ic : ic, tap = lines_ ? row : row * columns_ + column, panel = oc / 32;
  return split_weight(packed + at(group, panel, input / 32 * taps() + tap), kernels_->parts, width(panel), input % 32, oc % 32);
}

bool suits_split_conv(const ConvGeometry& g, Precision precision, bool winograd) {
  if (g.d.in != 1 || g.d.out != 1 || g.d.kernel != 1 || g.d.pad != 0) return false;
  const bool lines = g.ic < 16 && g.w.kernel > 1;
  const std::int64_t inputs = lines ? g.ic * g.w.kernel : g.ic, padded_inputs = (inputs + 31) / 32 * 32, padded_outputs = (g.oc + 15) / 16 * 16;
  const std::int64_t columns = lines ? g.w.out : g.w.out + (g.w.reach() - 1) / g.w.stride, positions = (g.h.out - 1) * columns + g.w.out;
  const double used = static_cast<double>(inputs * g.oc * g.h.out * g.w.out) /
                      static_cast<double>(padded_inputs * padded_outputs * ((positions + 15) / 16 * 16));
  return tile_rate(precision) * used > (winograd ? winograd_rate : 1.1);
}

}  // namespace tenon::cpu
