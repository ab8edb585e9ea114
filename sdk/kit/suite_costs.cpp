// costs: estimates that core can place by. They grow with the work, and are not far from what a run takes.
#include <algorithm>
#include <chrono>
#include <cstdio>

#include <fmt/format.h>

#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

struct Estimate {
  double ns = 0, flops = 0, bytes = 0;
  double largest() const { return std::max({ns, flops, bytes}); }
};

// The sum over the claims of the query of this model.
Estimate estimate_of(Subject& s, const Model& model) {
  s.watch().queries.clear();
  const Session session = s.tested(model);
  s.require_claimed(session);
  Estimate sum;
  for (const std::string& answer : s.watch().queries.back().answers) {
    const std::size_t at = answer.find(" ns ");
    double ns = 0, flops = 0, bytes = 0;
    if (at == std::string::npos || std::sscanf(answer.c_str() + at, " ns %lf flops %lf bytes %lf", &ns, &flops, &bytes) != 3) continue;
    sum.ns += ns, sum.flops += flops, sum.bytes += bytes;
  }
  return sum;
}

double seconds_of(Subject& s, const Subject::Work& work) {
  const Session session = s.tested(work.model);
  double best = 1e9;
  for (int i = 0; i < 12; ++i) {
    const auto start = std::chrono::steady_clock::now();
    (void)run(session, work.feeds);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

void grow_with_work(Subject& s) {
  const Subject::Work small = s.work(4), large = s.work(65536);
  const Estimate a = estimate_of(s, small.model), b = estimate_of(s, large.model);
  if (a.largest() == 0 && b.largest() == 0)
    throw NotClaimed("it gives no estimates: core places it by its position in the list of providers");
  expect(b.ns >= a.ns && b.flops >= a.flops && b.bytes >= a.bytes,
         fmt::format("{}: 65536 rows are estimated below 4 rows: {} and {} ns", small.what, b.ns, a.ns));
  expect(b.largest() > 8 * a.largest(), fmt::format("{}: 65536 rows are estimated at {} ns, {} flops, {} bytes, no 8 times what 4 "
                                                    "rows are ({}, {}, {}); estimates do not follow the work",
                                                    small.what, b.ns, b.flops, b.bytes, a.ns, a.flops, a.bytes));
}

void near_the_measured(Subject& s) {
  const Subject::Work work = s.work(65536);
  const Estimate estimate = estimate_of(s, work.model);
  if (estimate.ns == 0) throw NotClaimed("it gives no times");
  const double measured = seconds_of(s, work) * 1e9;
  // Wide: the machine may be busy and the first guess of a datasheet is rarely better. Beyond it placement goes wrong.
  expect(estimate.ns < measured * 200 && measured < estimate.ns * 200,
         fmt::format("{} with 65536 rows: {:.0f} ns are estimated, {:.0f} ns measured; a factor of 200 is allowed", work.what,
                     estimate.ns, measured));
}

}  // namespace

void add_costs(std::vector<Case>& cases) {
  cases.push_back({"costs", "grow_with_work", grow_with_work});
  cases.push_back({"costs", "near_the_measured", near_the_measured});
}

}  // namespace tenon::kit
