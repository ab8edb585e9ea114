// faults: whatever the host lends fails once, at every call in turn. The provider says so or does without, leaks nothing, and
// the next session works.
#include <fmt/format.h>

#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

constexpr std::int64_t most_calls = 100;  // that fail in turn, of one function

// fault picks the n-th call, for all n that there are, while a session is loaded and run.
void each_call_fails(Subject& s, Fault Watch::*fault, const char* function, const Subject::Work& work) {
  s.keep_loaded();
  s.begin();
  Fault& f = s.watch().*fault;
  f.set(0);
  Subject::check(s.tested(work.model), work, "before any fault");
  if (f.calls == 0) throw NotClaimed(fmt::format("it does not call {}", function));
  for (std::int64_t n = 1; n <= most_calls; ++n) {
    f.set(n);
    const auto which = [&] { return fmt::format("call {} of {} ({})", n, function, s.watch().failed.load()); };
    try {
      const Session session = s.tested(work.model);
      Subject::check(session, work, fmt::format("although {} failed", which()).c_str());
    } catch (const Error& e) {
      expect(e.what()[0] != 0, fmt::format("{} failed, and a failure without a text came of it", which()));
    }
    const bool done = f.calls < n;
    f.set(0);
    s.end();
    if (done) break;
    Subject::check(s.tested(work.model), work, fmt::format("in a new session, after {} had failed", which()).c_str());
  }
}

// The same while a session that is loaded plans and runs new sizes; it must go on.
void each_call_of_a_plan_fails(Subject& s) {
  const Subject::Work work = s.work(4, true);
  const Session session = s.tested(work.model), oracle = Subject::oracle(work.model);
  Subject::check(session, work, "before any fault");
  Random random(6);
  Fault& f = s.watch().any;
  bool any = false;
  for (std::int64_t n = 1; n <= most_calls; ++n) {
    const std::vector<Feed> feeds = Subject::feeds_of(work, 4 + 2 * n, random);
    const Outputs expected = run(oracle, feeds);
    f.set(n);
    const auto first = session.try_run(feeds);
    const bool done = f.calls < n;
    f.set(0);
    any |= !done;
    const auto agrees = [&](const Outputs& got, const char* when) {
      const std::string text = difference(got[0], expected[0]);
      expect(text.empty(), fmt::format("{} with {} rows, {} call {} of the host ({}) had failed: {}", work.what, 4 + 2 * n, when, n,
                                       s.watch().failed.load(), text));
    };
    if (first) agrees(*first, "although");
    agrees(run(session, feeds), "once more after");
    if (done) break;
  }
  if (!any) throw NotClaimed("it asks nothing of the host when it plans and runs");
}

// Extensions and artifacts are optional services.
void without_optional_services(Subject& s) {
  s.watch().bare = true;
  const Subject::Work work = s.work();
  Subject::check(s.tested(work.model), work, "in a host without extensions and artifacts");
}

// A model with an output whose size the data decides.
Subject::Work data_dependent(Subject& s) {
  Random random(2);
  Model m;
  m.input("x", TENON_DTYPE_FLOAT, {4, 5}).node("NonZero", {"x"}, {"y"}).output("y");
  Subject::Work work{m, {{"x", random_tensor(random, TENON_DTYPE_FLOAT, {4, 5}, 0, 1)}}, "NonZero"};
  s.require_claimed(s.tested(work.model));
  return work;
}

void alloc_fails(Subject& s) { each_call_fails(s, &Watch::alloc, "alloc", s.work()); }
void const_data_fails(Subject& s) { each_call_fails(s, &Watch::constant, "const_data", s.work()); }
void packed_weight_fails(Subject& s) { each_call_fails(s, &Watch::pack, "packed_weight", s.work()); }
void alloc_output_fails(Subject& s) { each_call_fails(s, &Watch::output, "alloc_output", data_dependent(s)); }

void any_call_fails(Subject& s) { each_call_fails(s, &Watch::any, "the host", s.work()); }

void cancelled_at_every_call(Subject& s) {
  const Subject::Work work = s.work();
  s.keep_loaded();
  s.begin();
  for (std::int64_t n = 1; n <= 12; ++n) {
    s.watch().stop.set(n);
    try {
      const Session session = s.tested(work.model);
      (void)session.run(work.feeds);  // what it computes after it has been told to stop is its own affair
    } catch (const Error&) {
    }
    s.watch().stop.set(0);
    s.end();
    Subject::check(s.tested(work.model), work, "after cancelled had answered 1");
  }
}

}  // namespace

void add_faults(std::vector<Case>& cases) {
  const std::pair<const char*, void (*)(Subject&)> all[] = {{"alloc_fails", alloc_fails},
                                                            {"const_data_fails", const_data_fails},
                                                            {"packed_weight_fails", packed_weight_fails},
                                                            {"alloc_output_fails", alloc_output_fails},
                                                            {"any_call_fails", any_call_fails},
                                                            {"any_call_of_a_plan_fails", each_call_of_a_plan_fails},
                                                            {"without_optional_services", without_optional_services},
                                                            {"cancelled_at_every_call", cancelled_at_every_call}};
  for (const auto& [name, body] : all) cases.push_back({"faults", name, body});
}

}  // namespace tenon::kit
