#include "plugins/cpu/ops/byte_rows.h"

#include <cstring>
#include <vector>

namespace tenon::cpu {

void ByteRows::find(const std::uint8_t* in, std::int64_t row, std::int64_t count, const std::uint8_t** pieces, std::uint8_t* gathered) const {
  if (matrix && !gathers) {
    for (std::int64_t r = 0; r < count; ++r) pieces[r] = in + (row + r) * form.piece;
    return;
  }
  ByteWindows::Place place{};
  if (!matrix) place = windows->place(row);
  bool inside = false;  // the window before this one
  for (std::int64_t r = 0; r < count; ++r) {
    if (gathers) {
      std::uint8_t* to_row = gathered + r * row_bytes();
      pieces[r] = to_row;
      if (matrix) std::memcpy(to_row, in + (row + r) * form.piece, static_cast<std::size_t>(form.piece));
      else windows->gather(in, place, zero, to_row);
      for (std::int64_t k = form.piece; k < row_bytes(); ++k) to_row[k] = 0;
    } else if (lines) {
      windows->lines(in, place, [&](std::int64_t line, const std::uint8_t* from) { pieces[line * count + r] = from; });
    } else if (inside && place.at[2] > 0 && windows->whole(2, place.at[2])) {
      const std::int64_t step = windows->w[2].stride * windows->channels;
      for (const std::uint8_t **p = pieces + r, **end = p + form.segments * count; p < end; p += count) *p = p[-1] + step;
    } else {
      windows->taps(in, place, [&](std::int64_t tap, const std::uint8_t* from) { pieces[tap * count + r] = from ? from : padding; });
      inside = windows->whole(place);
    }
    if (!matrix) windows->advance(place);
  }
}

ByteRows plan_byte_rows(PlanBuilder& b, const ByteConvSpec& spec) {
  const Shape &x = b.in(0), &y = b.out(0);
  ByteRows r{spec.form, spec.matrix, spec.gathers(), spec.lines(), spec.x_zero, nullptr, nullptr, y.count() / spec.outputs(), {}};
  if (spec.matrix) {
    require(x[-1] == r.form.piece, "A has " + std::to_string(x[-1]) + " columns, B has " + std::to_string(r.form.piece) + " rows");
  } else {
    require(x[1] == spec.channels, "X has " + std::to_string(x[1]) + " channels, W has " + std::to_string(spec.channels));
    ByteWindows windows = byte_windows(spec.window, spec.kernel, x, y, spec.channels);
    if (r.lines) r.x = pad_bytes(b, windows, spec.x_signed, spec.x_zero);
    r.windows = b.keep(std::span<const ByteWindows>(&windows, 1));
    r.matrix = !r.lines && spec.groups == 1 && windows.pointwise();
    const std::vector<std::uint8_t> padding(static_cast<std::size_t>(spec.channels), spec.x_zero);
    r.padding = b.keep(std::span<const std::uint8_t>(padding));
  }
  if (!r.x.present()) r.x = spec.x_signed ? unsigned_bytes(b) : b.in_ref(0);
  return r;
}

}  // namespace tenon::cpu
