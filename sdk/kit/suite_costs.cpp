// costs: estimates that core can place by. They grow with the work, and are not far from what a run takes.
#include <algorithm>
#include <chrono>
#include <cmath>
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

// What core places the work by: the estimates, with the device's speeds where they are no times.
double placed_ns(Subject& s, const Model& model) {
  double ns = 0;
  for (const PlacedNode& node : s.tested(model).placement()) ns += node.cost_ns;
  return ns;
}

struct Point {
  double estimated = 0, measured = 0;  // ns
};

std::vector<Point> points(Subject& s) {
  std::vector<Point> all;
  for (const std::int64_t rows : {64, 1024, 16384, 65536})
    for (const Subject::Work& work : s.works(rows, 3)) all.push_back({placed_ns(s, work.model), seconds_of(s, work) * 1e9});
  return all;
}

// Spearman's: 1 where the estimates have the order of the measured times, -1 where they have the reverse.
double rank_correlation(const std::vector<Point>& all) {
  const auto ranks = [&](double Point::*member) {
    std::vector<double> out;
    for (const Point& p : all) {
      double below = 0, equal = 0;
      for (const Point& q : all) below += q.*member < p.*member, equal += q.*member == p.*member;
      out.push_back(below + (equal - 1) / 2);
    }
    return out;
  };
  const std::vector<double> a = ranks(&Point::estimated), b = ranks(&Point::measured);
  const double mean = (static_cast<double>(all.size()) - 1) / 2;
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < all.size(); ++i)
    ab += (a[i] - mean) * (b[i] - mean), aa += (a[i] - mean) * (a[i] - mean), bb += (b[i] - mean) * (b[i] - mean);
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

void beside_the_measured(Subject& s) {
  const Subject::Work work = s.work(65536);
  if (estimate_of(s, work.model).largest() == 0) throw NotClaimed("it gives no estimates");
  const std::vector<Point> all = points(s);
  double logs = 0, widest = 1;
  for (const Point& p : all) {
    const double factor = p.estimated / p.measured;
    logs += std::log(factor);
    if (std::fabs(std::log(factor)) > std::fabs(std::log(widest))) widest = factor;
  }
  const double rho = rank_correlation(all), mean = std::exp(logs / static_cast<double>(all.size()));
  const std::string text = fmt::format("{} networks and sizes: estimates are {:.2f} times the measured ones on average, {:.3g} times at "
                                       "worst; their order correlates with {:.2f}", all.size(), mean, widest, rho);
  // Wide: the machine may be busy and the first guess of a datasheet is rarely better. Beyond it placement goes wrong.
  expect(widest < 200 && widest > 1.0 / 200, text + "; a factor of 200 is allowed");
  expect(rho > 0, text + "; sizes from 64 to 65536 rows come in no order at all");
  s.note(text);
}

}  // namespace

void add_costs(std::vector<Case>& cases) {
  cases.push_back({"costs", "grow_with_work", grow_with_work});
  cases.push_back({"costs", "beside_the_measured", beside_the_measured});
}

}  // namespace tenon::kit
