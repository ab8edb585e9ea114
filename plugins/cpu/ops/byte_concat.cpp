#include "plugins/cpu/ops/byte_concat.h"

#include <algorithm>
#include <cstring>

#include "plugins/cpu/ops/byte_map.h"
#include "plugins/cpu/ops/conv_shape.h"

namespace tenon::cpu {
namespace {

struct Part {
  Ref x;
  std::int64_t channels, at;
  const std::uint8_t* table;  // null: none
};

struct ByteConcatStep {
  ByteMapFn map;
  const Part* parts;
  std::int64_t count, pixels, channels;
  Ref y;

  static constexpr std::int64_t kPixels = 64;  // of one input before the next: both stay in the cache

  void operator()(const StepContext& c) const {
    const auto [begin, end] = c.slice(pixels, kPixels);
    for (std::int64_t first = begin; first < end; first += kPixels)
      for (std::int64_t i = 0; i < count; ++i) {
        const Part& p = parts[i];
        const auto* from = c.ptr<const std::uint8_t>(p.x) + first * p.channels;
        auto* to = c.ptr<std::uint8_t>(y) + first * channels + p.at;
        for (std::int64_t k = first; k < std::min(first + kPixels, end); ++k, from += p.channels, to += channels) {
          if (p.table) map(p.table, from, p.channels, to);
          else std::memcpy(to, from, static_cast<std::size_t>(p.channels));
        }
      }
  }
};

}  // namespace

ByteConcatOp::ByteConcatOp(std::vector<Input> inputs) : inputs_(std::move(inputs)) {
  for (const Input& i : inputs_) channels_ += i.channels;
}

std::int32_t ByteConcatOp::layout(std::span<std::int32_t> inputs, std::int32_t) {
  const auto last = [](std::int64_t channels) { return channels > 1 ? static_cast<std::int32_t>(channels) : 0; };  // one has no order
  for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i] = last(inputs_[i].channels);
  return last(channels_);
}

void ByteConcatOp::plan(PlanBuilder& b) const {
  const Shape& y = b.out(0);
  require(y[1] == channels_, "the inputs have " + std::to_string(channels_) + " channels, the output " + std::to_string(y[1]));
  std::vector<Part> parts;
  std::vector<Ref> reads;
  std::int64_t at = 0;
  for (std::uint32_t i = 0; i < inputs_.size(); ++i) {
    const Shape& x = b.in(i);
    bool fits = x.rank() == y.rank() && x[1] == inputs_[i].channels;
    for (std::int64_t d = 0; d < y.rank(); ++d) fits = fits && (d == 1 || x[d] == y[d]);
    require(fits, "the sizes of input " + std::to_string(i) + " do not fit the output");
    const auto& table = inputs_[i].table;
    parts.push_back({b.in_ref(i), x[1], at, table ? b.keep(std::span<const std::uint8_t>(*table)) : nullptr});
    reads.push_back(b.in_ref(i));
    at += x[1];
  }
  if (y.count() == 0) return;
  const Ref out = b.out_ref(0);
  const ByteConcatStep step{byte_map(b.options().isa), b.keep(std::span<const Part>(parts)), static_cast<std::int64_t>(parts.size()),
                            y.count() / channels_, channels_, out};
  b.step("bytes.concat", step, {.est_ns = 50 + static_cast<double>(y.count()) / 8}, reads, {{out}});
}

}  // namespace tenon::cpu
