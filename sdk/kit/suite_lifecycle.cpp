// lifecycle: what is made is destroyed, in any order of sessions, after failures, and at the end of the process.
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

std::size_t entries_in(const char* folder) {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& e : std::filesystem::directory_iterator(folder)) ++n;
  return n;
}

void again_and_again(Subject& s) {
  const Subject::Work work = s.work();
  std::size_t files = 0, threads = 0;
  for (int i = 0; i < 12; ++i) {
    {
      const Session session = s.tested(work.model);
      Subject::check(session, work, "in a session of several, one after another");
    }
    expect(s.watch().alive.total() == 0, fmt::format("still there when the only session was gone: {}", s.watch().alive.text()));
    if (i == 4) files = entries_in("/proc/self/fd"), threads = entries_in("/proc/self/task");
  }
  expect(entries_in("/proc/self/fd") <= files + 1,
         fmt::format("open files grow from session to session: {} after 5, {} after 12", files, entries_in("/proc/self/fd")));
  expect(entries_in("/proc/self/task") <= threads + 1,
         fmt::format("threads grow from session to session: {} after 5, {} after 12", threads, entries_in("/proc/self/task")));
}

void devices_stay(Subject& s) {
  std::string first;
  for (int i = 0; i < 3; ++i) {
    const std::string now =
        detail::text(&tenon_provider_devices, s.target().watch_manifest.c_str(), static_cast<const tenon_configuration*>(nullptr));
    if (i == 0) first = now;
    expect(now == first, fmt::format("the devices change from one enumeration to the next:\n{}\n{}", first, now));
  }
  const nlohmann::json j = nlohmann::json::parse(first);
  for (std::size_t a = 0; a < j["devices"].size(); ++a) {
    expect(!j["devices"][a].value("uid", "").empty(), fmt::format("device {} has no uid", a));
    for (std::size_t b = 0; b < a; ++b)
      expect(j["devices"][a]["uid"] != j["devices"][b]["uid"], fmt::format("devices {} and {} have one uid", a, b));
  }
}

void many_at_once(Subject& s) {
  const Subject::Work work = s.work(), other = s.work(3);
  std::vector<Session> sessions;
  for (int i = 0; i < 6; ++i) sessions.push_back(s.tested(i % 2 ? work.model : other.model));
  for (std::size_t i = 0; i < sessions.size(); ++i) Subject::check(sessions[i], i % 2 ? work : other, "with six sessions open");
  sessions.erase(sessions.begin());
  Subject::check(sessions.front(), work, "after the first of six sessions was closed");
  sessions.erase(sessions.begin() + 2, sessions.begin() + 4);
  Subject::check(sessions.back(), work, "after three of six sessions were closed");
}

void cancelled_load(Subject& s) {
  const Subject::Work work = s.work();
  std::stop_source stop;
  stop.request_stop();
  SessionOptions options;
  options.configuration = s.configuration();
  options.stop = stop.get_token();
  const std::string bytes = work.model.bytes();
  try {
    const Session session(std::as_bytes(std::span(bytes)), options);
    throw Broken("a load that was cancelled before it began succeeded");
  } catch (const Error& e) {
    expect(e.code() == TENON_CANCELLED, fmt::format("a cancelled load ends with {}: {}", e.code_name(), e.what()));
  }
  expect(s.watch().alive.total() == 0, fmt::format("still there after a cancelled load: {}", s.watch().alive.text()));
  Subject::check(s.tested(work.model), work, "after a cancelled load");
}

void cancelled_inside(Subject& s) {
  const Subject::Work work = s.work();
  s.watch().stop.set(1);
  try {
    const Session session = s.tested(work.model);
    (void)session.try_run(work.feeds);  // a provider that sees it may fail or shorten its work
  } catch (const Error&) {
  }
  s.watch().stop.set(0);
  Subject::check(s.tested(work.model), work, "after a load and a run in which cancelled answered 1");
}

void unknown_extension(Subject& s) {
  const Subject::Work work = s.work();
  const Session session = s.tested(work.model);
  const tenon_provider_api& api = *s.watch().api;
  if (!api.get_extension) throw NotClaimed("it has no get_extension");
  for (const char* name : {"kit.no_such_extension", ""})
    expect(!api.get_extension(s.watch().provider, {name, std::char_traits<char>::length(name)}, 1),
           fmt::format("get_extension(\"{}\") is not NULL", name));
  expect(!api.get_extension(s.watch().provider, {"tenon.schema", 12}, 999), "get_extension answers version 999 of tenon.schema");
}

void fingerprint(Subject& s) {
  const Subject::Work work = s.work();
  const Session session = s.tested(work.model);
  const tenon_provider_api& api = *s.watch().api;
  if (!api.fingerprint) throw NotClaimed("it has no fingerprint");
  std::string whole(4096, '\0');
  std::uint64_t length = 0;
  expect(!api.fingerprint(s.watch().device, whole.data(), whole.size(), &length), "fingerprint fails");
  expect(length <= whole.size(), "a fingerprint of more than 4 KiB");
  whole.resize(length);
  std::string part(8, '\x7e');
  std::uint64_t again = 0;
  expect(!api.fingerprint(s.watch().device, part.data(), 4, &again), "fingerprint fails where there is little room");
  expect(again == length, fmt::format("fingerprint has {} bytes, then {}", length, again));
  expect(part.substr(4) == "\x7e\x7e\x7e\x7e", "fingerprint writes past its capacity");
  expect(part.substr(0, std::min<std::size_t>(4, length)) == whole.substr(0, 4),
         "the beginning of the fingerprint depends on the room for it");
}

void left_at_exit(Subject& s) {
  // The process ends with sessions and the provider alive: that must be no crash. Counted as alive before, so end() is content.
  const Subject::Work work = s.work();
  static Session* left = nullptr;
  left = new Session(s.tested(work.model));
  (void)left->run(work.feeds);
  s.begin();
}

}  // namespace

void add_lifecycle(std::vector<Case>& cases) {
  const std::pair<const char*, void (*)(Subject&)> all[] = {{"sessions_one_after_another", again_and_again},
                                                            {"devices_stay_the_same", devices_stay},
                                                            {"sessions_at_once", many_at_once},
                                                            {"load_cancelled_before", cancelled_load},
                                                            {"cancelled_while_loading", cancelled_inside},
                                                            {"unknown_extensions", unknown_extension},
                                                            {"fingerprint", fingerprint},
                                                            {"alive_at_exit", left_at_exit}};
  for (const auto& [name, body] : all) cases.push_back({"lifecycle", name, body});
}

}  // namespace tenon::kit
