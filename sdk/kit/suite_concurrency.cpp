// concurrency: runs and loads at once, any number of workers, and runs that fail or are cancelled in any worker at any barrier
// and step.
#include <algorithm>
#include <stop_token>
#include <thread>

#include <fmt/format.h>

#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

constexpr std::int64_t most_places = 64;  // barriers or steps at which a run is made to end

// Runs fn(i) in that many threads at once; the first problem is thrown.
template <class Fn>
void at_once(int count, Fn fn) {
  std::vector<std::string> problems(static_cast<std::size_t>(count));
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i)
    threads.emplace_back([&, i] {
      try {
        fn(i);
      } catch (const std::exception& e) {
        problems[static_cast<std::size_t>(i)] = e.what();
      }
    });
  for (std::thread& t : threads) t.join();
  for (const std::string& problem : problems) expect(problem.empty(), problem);
}

void runs_of_one_session(Subject& s) {
  const Subject::Work work = s.work(64);
  const Session session = s.tested(work.model);
  std::vector<std::vector<Feed>> feeds(4);
  std::vector<Outputs> expected;
  for (std::size_t i = 0; i < feeds.size(); ++i) {
    Random random(i);
    feeds[i] = Subject::feeds_of(work, work.feeds[0].value.dims()[0], random);
    expected.push_back(run(session, feeds[i]));
  }
  const bool exact = s.watch().deterministic;
  at_once(4, [&](int i) {
    const auto k = static_cast<std::size_t>(i);
    for (int n = 0; n < 25; ++n) {
      const Outputs got = run(session, feeds[k]);
      const std::string text = exact ? bitwise_difference(got[0], expected[k][0]) : difference(got[0], expected[k][0]);
      expect(text.empty(), fmt::format("{}: four runs at once: run {} of thread {}: {}", work.what, n, i, text));
    }
  });
}

void sizes_at_once(Subject& s) {
  const Subject::Work work = s.work(4, true);
  const Session session = s.tested(work.model), oracle = Subject::oracle(work.model);
  at_once(4, [&](int i) {
    Random random(static_cast<std::uint64_t>(i));
    for (int n = 1; n <= 12; ++n) {
      const std::vector<Feed> feeds = Subject::feeds_of(work, n * (i + 1), random);
      const std::string text = difference(run(session, feeds)[0], run(oracle, feeds)[0]);
      expect(text.empty(), fmt::format("{}: four sizes at once: {} rows: {}", work.what, n * (i + 1), text));
    }
  });
}

void loads_at_once(Subject& s) {
  const Subject::Work work = s.work(16);
  s.keep_loaded();
  s.begin();
  at_once(4, [&](int) {
    for (int n = 0; n < 3; ++n) Subject::check(s.tested(work.model), work, "loaded and run in four threads at once");
  });
}

void worker_counts(Subject& s) {
  const Subject::Work work = s.work(512);
  const Outputs expected = run(s.tested(work.model, {{"/session/threads", "1"}}), work.feeds);
  for (const char* threads : {"2", "3", "4", "7"}) {
    const Outputs got = run(s.tested(work.model, {{"/session/threads", threads}}), work.feeds);
    const std::string text = s.watch().deterministic ? bitwise_difference(got[0], expected[0]) : difference(got[0], expected[0]);
    expect(text.empty(), fmt::format("{}: {} threads give another result than one: {}", work.what, threads, text));
  }
}

// How many barriers of a run are tried. Throws NotClaimed where it calls none.
std::int64_t barriers_of(const Session& session, const Subject::Work& work, const Watch& w) {
  for (int i = 0; i < 20 && w.barriers == 0; ++i) (void)run(session, work.feeds);
  if (w.barriers == 0) throw NotClaimed("it never calls barrier");
  return std::min<std::int64_t>(w.most_barriers, most_places);
}

void worker_fails(Subject& s) {
  const Subject::Work work = s.work(2048);
  const Session session = s.tested(work.model, {{"/session/threads", "4"}});
  Watch& w = s.watch();
  const Outputs expected = run(session, work.feeds);
  int failed = 0;
  const std::int64_t barriers = barriers_of(session, work, w);
  for (std::int64_t worker = 0; worker < 4; ++worker)
    for (std::int64_t at = 1; at <= barriers; ++at) {
      w.fail_worker = worker;
      w.fail_barrier = at;
      const auto result = session.try_run(work.feeds);
      w.fail_worker = w.fail_barrier = -1;
      if (!result) {
        ++failed;
        expect(std::string_view(result.error().what()).find("the kit made a worker fail") != std::string_view::npos,
               fmt::format("worker {} failed before barrier {}, the run says: {}", worker, at, result.error().what()));
      }
      const std::string text = difference(run(session, work.feeds)[0], expected[0]);
      expect(text.empty(), fmt::format("after worker {} failed before barrier {}: {}", worker, at, text));
    }
  expect(failed > 0, "it called barrier, yet no failure before one ended a run");
}

// A run that is cancelled as `place` says: it ends with CANCELLED, or well where nothing was left to do; the next one is right.
void cancelled_once(const Session& session, const Subject::Work& work, const Outputs& expected, Watch& w, const std::string& place) {
  std::stop_source stop;
  w.instead = [&] { stop.request_stop(); };
  RunOptions options;
  options.stop = stop.get_token();
  try {
    const std::string text = difference(session.run(work.feeds, {}, options)[0], expected[0]);
    expect(text.empty(), fmt::format("cancelled {}, the run ends well and is wrong: {}", place, text));
  } catch (const Error& e) {
    expect(e.code() == TENON_CANCELLED, fmt::format("cancelled {}, the run ends with {}: {}", place, e.code_name(), e.what()));
  }
  w.instead = {};
  w.fail_worker = w.fail_barrier = -1;
  w.fail_step = 0;
  const std::string text = difference(run(session, work.feeds)[0], expected[0]);
  expect(text.empty(), fmt::format("after a run that was cancelled {}: {}", place, text));
}

void cancelled_at_barriers(Subject& s) {
  const Subject::Work work = s.work(2048);
  const Session session = s.tested(work.model, {{"/session/threads", "4"}});
  Watch& w = s.watch();
  const Outputs expected = run(session, work.feeds);
  const std::int64_t barriers = barriers_of(session, work, w);
  for (std::int64_t worker = 0; worker < 4; ++worker)
    for (std::int64_t at = 1; at <= barriers; ++at) {
      w.fail_worker = worker;
      w.fail_barrier = at;
      cancelled_once(session, work, expected, w, fmt::format("by worker {} before barrier {}", worker, at));
    }
}

// One worker, one step at a time: a run that ends before its n-th step leaves nothing behind that the next would stumble over.
void ends_before_any_step(Subject& s) {
  const Subject::Work work = s.work(64);
  Watch& w = s.watch();
  w.stepwise = true;
  const Session session = s.tested(work.model, {{"/session/threads", "1"}});
  (void)run(session, work.feeds);
  w.steps = 0;
  const Outputs expected = run(session, work.feeds);
  const std::int64_t steps = std::min<std::int64_t>(w.steps, most_places);
  expect(steps > 0, fmt::format("{}: claimed, and no step was executed", work.what));
  for (std::int64_t at = 1; at <= steps; ++at) {
    w.steps = 0;
    w.fail_step = at;
    const auto result = session.try_run(work.feeds);
    w.fail_step = 0;
    expect(!result && std::string_view(result.error().what()).find("the kit made a step fail") != std::string_view::npos,
           fmt::format("step {} failed, the run says: {}", at, result ? "nothing" : result.error().what()));
    const std::string text = difference(run(session, work.feeds)[0], expected[0]);
    expect(text.empty(), fmt::format("after a run that failed at step {}: {}", at, text));
    w.steps = 0;
    w.fail_step = at;
    cancelled_once(session, work, expected, w, fmt::format("before step {}", at));
  }
}

void cancelled_runs(Subject& s) {
  const Subject::Work work = s.work(4096);
  const Session session = s.tested(work.model);
  const Outputs expected = run(session, work.feeds);
  for (int i = 0; i < 30; ++i) {
    RunOptions options;
    options.timeout = std::chrono::microseconds(1 << (i % 12));
    try {
      (void)session.run(work.feeds, {}, options);
    } catch (const Error& e) {
      expect(e.code() == TENON_DEADLINE_EXCEEDED, fmt::format("a run past its deadline ends with {}: {}", e.code_name(), e.what()));
    }
    const std::string text = difference(run(session, work.feeds)[0], expected[0]);
    expect(text.empty(), fmt::format("after a run past its deadline: {}", text));
  }
}

}  // namespace

void add_concurrency(std::vector<Case>& cases) {
  const std::pair<const char*, void (*)(Subject&)> all[] = {{"runs_of_one_session", runs_of_one_session},
                                                            {"sizes_at_once", sizes_at_once},
                                                            {"loads_at_once", loads_at_once},
                                                            {"worker_counts", worker_counts},
                                                            {"worker_fails_at_barrier", worker_fails},
                                                            {"cancelled_at_barriers", cancelled_at_barriers},
                                                            {"ends_before_any_step", ends_before_any_step},
                                                            {"runs_past_their_deadline", cancelled_runs}};
  for (const auto& [name, body] : all) cases.push_back({"concurrency", name, body});
}

}  // namespace tenon::kit
