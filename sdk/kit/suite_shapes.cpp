// shapes: one session, many sizes; none, one and many elements; every rank.
#include <fmt/format.h>

#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

void at_sizes(Subject& s, const std::vector<std::int64_t>& sizes) {
  const Subject::Work work = s.work(4, true);
  const Session session = s.tested(work.model), oracle = Subject::oracle(work.model);
  Random random(4);
  for (const std::int64_t rows : sizes) {
    const std::vector<Feed> feeds = Subject::feeds_of(work, rows, random);
    const std::string text = difference(run(session, feeds)[0], run(oracle, feeds)[0]);
    expect(text.empty(), fmt::format("{} with {} rows, among other sizes: {}", work.what, rows, text));
  }
}

void some_sizes(Subject& s) { at_sizes(s, {1, 3, 17, 64, 2, 1, 5, 31, 33, 17, 128, 3}); }
void no_rows(Subject& s) { at_sizes(s, {0, 2, 0, 1}); }
void growing(Subject& s) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t n = 1; n <= 40; ++n) sizes.push_back(n);
  for (std::int64_t n = 5; n <= 12; ++n) sizes.push_back(n);
  at_sizes(s, sizes);
}
void large(Subject& s) { at_sizes(s, {20000, 7, 20001}); }

void open_or_fixed(Subject& s) {
  const Subject::Work open = s.work(9, true), fixed = s.work(9);
  const std::string text = difference(run(s.tested(open.model), fixed.feeds)[0], run(s.tested(fixed.model), fixed.feeds)[0]);
  expect(text.empty(),
         fmt::format("{}: the model with an open size gives another result than the one with a fixed size: {}", open.what, text));
}

void every_rank(Subject& s) {
  bool any = false;
  std::string why;
  for (const char* op : {"Relu", "Neg", "Exp", "Abs", "Add", "Mul"}) {
    const bool two = std::string_view(op) == "Add" || std::string_view(op) == "Mul";
    for (std::size_t rank = 0; rank <= 6; ++rank) {
      Random random(rank);
      Model m;
      const Dims dims(rank, 2);
      m.input("x", TENON_DTYPE_FLOAT, dims)
          .node(op, two ? std::vector<std::string>{"x", "x"} : std::vector<std::string>{"x"}, {"y"})
          .output("y");
      const std::vector<Feed> feeds{{"x", random_tensor(random, TENON_DTYPE_FLOAT, dims)}};
      const Session session = s.tested(m);
      if (!s.claims(session, &why)) continue;
      any = true;
      const std::string text = difference(run(session, feeds)[0], run(Subject::oracle(m), feeds)[0]);
      expect(text.empty(), fmt::format("{} of rank {}: {}", op, rank, text));
    }
  }
  if (!any) throw NotClaimed(why);
}

}  // namespace

void add_shapes(std::vector<Case>& cases) {
  const std::pair<const char*, void (*)(Subject&)> all[] = {
      {"sizes_in_one_session", some_sizes}, {"no_rows", no_rows},      {"growing", growing}, {"large", large},
      {"open_or_fixed", open_or_fixed},     {"every_rank", every_rank}};
  for (const auto& [name, body] : all) cases.push_back({"shapes", name, body});
}

}  // namespace tenon::kit
