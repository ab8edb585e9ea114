// faults: whatever the host lends fails once, at every call in turn. The provider says so or does without, leaks nothing, and
// the next session works.
#include <fmt/format.h>

#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

void each_call_fails(Subject& s, Fault Watch::*fault, const char* function, const Subject::Work& work) {
  s.keep_loaded();
  s.begin();
  Fault& f = s.watch().*fault;
  f.set(0);
  Subject::check(s.tested(work.model), work, "before any fault");
  const std::int64_t calls = f.calls;
  if (calls == 0) throw NotClaimed(fmt::format("it does not call {}", function));
  for (std::int64_t n = 1; n <= std::min<std::int64_t>(calls, 40); ++n) {
    f.set(n);
    try {
      const Session session = s.tested(work.model);
      Subject::check(session, work, "although the host refused something");
    } catch (const Error& e) {
      expect(e.what()[0] != 0, "a failure without a text");
    }
    f.set(0);
    s.end();
    Subject::check(s.tested(work.model), work, "in a new session, after the host had refused something");
  }
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
                                                            {"cancelled_at_every_call", cancelled_at_every_call}};
  for (const auto& [name, body] : all) cases.push_back({"faults", name, body});
}

}  // namespace tenon::kit
