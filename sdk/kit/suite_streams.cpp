// streams: work of one stream is done in order, streams do not disturb each other, events join them.
#include <thread>

#include <fmt/format.h>

#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

void done(tenon_status* status, const char* what) {
  if (!status) return;
  const std::string text =
      fmt::format("{} fails with {}: {}", what, tenon_code_name(tenon_status_code(status)), tenon_status_text(status));
  tenon_status_release(status);
  throw Broken(text);
}

// The provider loaded, with its streams at hand.
struct Loaded {
  explicit Loaded(Subject& s) : work(s.work()), session(s.tested(work.model)), api(*s.watch().api), device(s.watch().device) {
    if (!api.stream_create) throw NotClaimed("it has no streams");
  }
  Subject::Work work;
  Session session;
  const tenon_provider_api& api;
  tenon_device* device;
};

void made_and_synced(Subject& s) {
  const Loaded l(s);
  std::vector<tenon_stream*> all;
  for (int i = 0; i < 5; ++i) {
    tenon_stream* stream = nullptr;
    done(l.api.stream_create(l.device, nullptr, &stream), "stream_create");
    expect(stream, "stream_create succeeded without a stream");
    for (int k = 0; k < 3; ++k) done(l.api.stream_sync(stream), "stream_sync of a stream without work");
    if (l.api.stream_native) (void)l.api.stream_native(stream);
    all.push_back(stream);
  }
  std::swap(all[0], all[3]);
  for (tenon_stream* stream : all) l.api.stream_destroy(stream);
  Subject::check(l.session, l.work, "after five streams came and went");
}

void events(Subject& s) {
  const Loaded l(s);
  if (!l.api.event_create) throw NotClaimed("it has no events");
  tenon_stream *a = nullptr, *b = nullptr;
  done(l.api.stream_create(l.device, nullptr, &a), "stream_create");
  done(l.api.stream_create(l.device, nullptr, &b), "stream_create");
  tenon_event* event = nullptr;
  done(l.api.event_create(l.device, 0, &event), "event_create");
  for (int i = 0; i < 3; ++i) {
    done(l.api.event_record(event, a), "event_record");
    if (l.api.event_wait) done(l.api.event_wait(event, b), "event_wait");
    done(l.api.event_host_wait(event, 5'000'000'000), "event_host_wait");
    done(l.api.stream_sync(b), "stream_sync after event_wait");
  }
  l.api.event_destroy(event);
  l.api.stream_destroy(b);
  l.api.stream_destroy(a);
}

void in_threads(Subject& s) {
  const Loaded l(s);
  std::vector<std::string> problems(4);
  std::vector<std::thread> threads;
  for (std::string& problem : problems)
    threads.emplace_back([&l, &problem] {
      try {
        for (int i = 0; i < 10; ++i) {
          tenon_stream* stream = nullptr;
          done(l.api.stream_create(l.device, nullptr, &stream), "stream_create");
          done(l.api.stream_sync(stream), "stream_sync");
          l.api.stream_destroy(stream);
        }
      } catch (const std::exception& e) {
        problem = e.what();
      }
    });
  for (std::thread& t : threads) t.join();
  for (const std::string& problem : problems) expect(problem.empty(), "in four threads at once: " + problem);
}

void runs_in_order(Subject& s) {
  const Loaded l(s);
  Random random(8);
  const Session oracle = Subject::oracle(l.work.model);
  for (int i = 0; i < 20; ++i) {  // each run's input is gone by the next: work that is late reads the wrong one
    std::vector<Feed> feeds{{"x", random_tensor(random, TENON_DTYPE_FLOAT,
                                                {l.work.feeds[0].value.dims().begin(), l.work.feeds[0].value.dims().end()}, 0, 2)}};
    const std::string text = difference(run(l.session, feeds)[0], run(oracle, feeds)[0]);
    expect(text.empty(), fmt::format("run {}: {}", i, text));
  }
}

}  // namespace

void add_streams(std::vector<Case>& cases) {
  const std::pair<const char*, void (*)(Subject&)> all[] = {
      {"made_and_synced", made_and_synced}, {"events", events}, {"in_threads", in_threads}, {"runs_in_order", runs_in_order}};
  for (const auto& [name, body] : all) cases.push_back({"streams", name, body});
}

}  // namespace tenon::kit
