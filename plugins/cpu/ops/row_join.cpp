#include "plugins/cpu/ops/row_join.h"

#include <algorithm>

#include "plugins/cpu/ops/gather_walk.h"

namespace tenon::cpu {
namespace {

struct PieceCopy {
  Ref data;
  Indices indices;
  GatherWalk walk;         // its data is known in the run
  std::int64_t to, bytes;  // in a row of the output
};

struct RowJoinStep {
  static constexpr std::int64_t block = 32;  // rows whose pieces are copied before the next ones: they stay in the cache

  const PieceCopy* pieces;
  std::size_t count;
  std::int64_t rows, row_bytes;
  Ref dst;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(rows);
    for (std::int64_t begin = slice.begin; begin < slice.end; begin += block) {
      const std::int64_t end = std::min(slice.end, begin + block);
      for (std::size_t i = 0; i < count; ++i) {
        const PieceCopy& p = pieces[i];
        const char* from = c.ptr<const char>(p.data);
        char* to = c.ptr<char>(dst) + p.to;
        const auto copy = [&](std::int64_t row, std::int64_t at) {
          std::memcpy(to + row * row_bytes, from + at * p.bytes, static_cast<std::size_t>(p.bytes));
        };
        if (!p.indices.ref.present()) {
          for (std::int64_t row = begin; row < end; ++row) copy(row, row);
          continue;
        }
        GatherWalk walk = p.walk;
        walk.data = from;
        walk.run(c, IndexList(c, p.indices), begin, end, copy);
      }
    }
  }
};

}  // namespace

void RowJoinOp::plan(PlanBuilder& b) const {
  const Shape& y = b.out(0);
  if (y.count() == 0) return;
  const std::int64_t rows = y[0], width = y.count() / rows, element = element_bytes(element_of(y.dtype));
  PlanList<PieceCopy> copies;
  std::int64_t at = 0;
  for (const RowPiece& p : pieces_) {
    const Shape& x = b.in(p.data);
    PieceCopy copy{};
    copy.data = b.in_ref(p.data), copy.to = at * element;
    std::int64_t items = x[0] == 0 ? 0 : x.count() / x[0];
    bool fits = x[0] == rows;
    if (p.indices != TENON_NO_VALUE) {
      const Shape& i = b.in(p.indices);
      items = x.inner(0);
      fits = i[0] == rows && i.rank() == (p.picks ? 2 : 1);
      copy.indices = indices_of(b, p.indices);
      copy.walk.bound = x[0], copy.walk.count = rows, copy.walk.row_bytes = items * element;
      copy.walk.op = b.keep<char>(std::span(p.label.c_str(), p.label.size() + 1));
      if (p.picks && fits) {
        copy.walk.first = resolve_axis(p.column, i[1]), copy.walk.step = i[1];
        if (copy.walk.first < 0) throw Failure{TENON_OUT_OF_RANGE, index_text("Gather", p.column, 0, i[1])};
      }
    }
    if (!fits || items > width - at) throw Failure{TENON_INVALID_ARGUMENT, "the sizes of input " + std::to_string(p.data) + " do not fit the output"};
    copy.bytes = items * element;
    at += items;
    if (items) copies.push_back(copy);
  }
  if (at != width) throw Failure{TENON_INVALID_ARGUMENT, "the inputs do not fill the output"};
  const RowJoinStep step{b.keep<PieceCopy>(copies), copies.size(), rows, width * element, b.out_ref(0)};
  b.step("join rows", step, copy_options(Element::bytes1, 2 * y.count() * element));
}

}  // namespace tenon::cpu
