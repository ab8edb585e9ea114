// How processes begin, fork and end around a session: each case in a process of its own, which must end by itself, with its code.
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <thread>

#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tenon/tenon.hpp>

#include "core/base/child_process.h"
#include "models.h"

namespace {

using namespace std::chrono_literals;
using tenon::Session;
using tenon::view;

constexpr int good = 42;  // what a case exits with

Session sums(int threads = 2) {
  tenon::SessionOptions options;
  options.settings = {{"/session/threads", std::to_string(threads)}};
  return Session(std::as_bytes(std::span(sums_model)), options);
}
int runs(const Session& session) {
  const std::vector<float> x(3000, 1), y(3000, 10);
  const tenon::Outputs out = session.run({{"x", view(x, {1000, 3})}, {"y", view(y, {1000, 3})}});
  return out["sum"].data<float>()[2999] == 11 ? good : 1;
}
// A run that would go on for ever, on a thread that nobody joins.
void run_for_ever() {
  std::thread([] {
    const Session session(std::as_bytes(std::span(loop_model)));
    const std::vector<std::int64_t> limit{INT64_MAX};
    const std::vector<float> x{1};
    (void)session.run({{"limit", view(limit, {})}, {"x", view(x, {1})}});
  }).detach();
  std::this_thread::sleep_for(50ms);
}
// What the child makes of itself: its exit code; 99 where a signal ended it.
int in_child(const std::function<int()>& fn) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(fn());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

Session* leaked = nullptr;
std::unique_ptr<Session> of_the_program;           // ends with the program's static objects
thread_local std::unique_ptr<Session> of_a_thread;

const std::map<std::string, std::function<int()>> cases{
    // ---- the end of a process ----
    {"returns_without_release", [] { return leaked = new Session(sums()), runs(*leaked); }},
    {"exits_without_release", [] { leaked = new Session(sums()), runs(*leaked), std::exit(good); return 1; }},
    {"exits_on_another_thread", [] { std::thread([] { runs(sums()), std::exit(good); }).join(); return 1; }},
    {"exits_while_a_run_goes_on", [] { run_for_ever(), std::exit(good); return 1; }},
    {"returns_while_a_run_goes_on", [] { return run_for_ever(), good; }},
    {"quick_exit", [] { leaked = new Session(sums()), runs(*leaked), std::quick_exit(good); return 1; }},
    {"quick_exit_while_a_run_goes_on", [] { run_for_ever(), std::quick_exit(good); return 1; }},
    {"underscore_exit", [] { leaked = new Session(sums()), runs(*leaked), ::_exit(good); return 1; }},
    {"releases_in_atexit", [] { leaked = new Session(sums()), std::atexit([] { delete leaked; }); return runs(*leaked); }},
    {"runs_in_atexit_registered_before_the_load",
     [] { std::atexit([] { if (runs(*leaked) != good) ::_exit(1); }); leaked = new Session(sums()); return good; }},
    {"loads_in_atexit", [] { std::atexit([] { if (runs(sums()) != good) ::_exit(1); }); return good; }},
    {"released_as_a_static_object", [] { of_the_program = std::make_unique<Session>(sums()); return runs(*of_the_program); }},
    {"released_as_an_object_of_a_thread", [] {
       int code = 0;
       std::thread([&] { of_a_thread = std::make_unique<Session>(sums()), code = runs(*of_a_thread); }).join();
       return code;
     }},
    {"main_thread_ends_first", [] {
       std::thread([] { std::this_thread::sleep_for(30ms), std::exit(runs(sums())); }).detach();
       ::pthread_exit(nullptr);
       return 1;
     }},
    {"terminated_by_a_signal_keeps_it", [] {
       leaked = new Session(sums()), runs(*leaked);
       return in_child([] { return ::raise(SIGTERM), 1; }) == 99 ? good : 1;
     }},
    // ---- fork ----
    {"fork_before_use", [] { return in_child([] { return runs(sums()); }) == good ? runs(sums()) : 1; }},
    {"fork_after_a_load_and_run_in_the_child", [] { const Session s = sums(); return in_child([&] { return runs(s); }) == good ? runs(s) : 1; }},
    {"fork_after_runs_with_threads", [] { const Session s = sums(); runs(s); return in_child([&] { return runs(s); }) == good ? runs(s) : 1; }},
    {"fork_and_release_in_the_child", [] { leaked = new Session(sums()), runs(*leaked); return in_child([] { return delete leaked, good; }) == good ? runs(*leaked) : 1; }},
    {"fork_and_load_in_the_child", [] { const Session s = sums(); runs(s); return in_child([] { return runs(sums()); }) == good ? runs(s) : 1; }},
    {"fork_and_exit_in_the_child", [] { leaked = new Session(sums()), runs(*leaked); return in_child([] { std::exit(good); return 1; }) == good ? runs(*leaked) : 1; }},
    {"fork_while_a_run_goes_on", [] { run_for_ever(); return in_child([] { return runs(sums()); }); }},
    {"fork_of_a_fork", [] { const Session s = sums(); runs(s); return in_child([&] { return in_child([&] { return runs(s); }); }); }},
    {"many_forks_in_a_row", [] {
       const Session s = sums();
       for (int i = 0; i < 20; ++i)
         if (runs(s) != good || in_child([&] { return runs(s); }) != good) return 1;
       return good;
     }},
    {"fork_and_exec", [] {
       leaked = new Session(sums()), runs(*leaked);
       return in_child([] { return ::execl("/bin/sh", "sh", "-c", "exit 42", nullptr), 1; });
     }},
    {"exec_in_place", [] { leaked = new Session(sums()), runs(*leaked); return ::execl("/bin/sh", "sh", "-c", "exit 42", nullptr), 1; }},
    {"exec_while_a_run_goes_on", [] { return run_for_ever(), ::execl("/bin/sh", "sh", "-c", "exit 42", nullptr), 1; }},
    {"posix_spawn", [] {
       const Session s = sums();
       runs(s);
       pid_t child = 0;
       const char* words[] = {"sh", "-c", "exit 42", nullptr};
       if (::posix_spawn(&child, "/bin/sh", nullptr, nullptr, const_cast<char* const*>(words), environ) != 0) return 1;
       int status = 0;
       ::waitpid(child, &status, 0);
       return WEXITSTATUS(status) == good ? runs(s) : 1;
     }},
};

class Lifetime : public ::testing::TestWithParam<std::string> {};

TEST_P(Lifetime, EndsByItselfWithItsCode) {
  const tenon::ChildResult child = tenon::run_child({"/proc/self/exe", "--case", GetParam()}, {20s, 1 << 16, {}});
  EXPECT_EQ(child.end, tenon::ChildResult::End::exited) << child.text() << "\n" << child.err;
  EXPECT_EQ(child.code, good) << child.err;
}

std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const auto& [name, fn] : cases) out.push_back(name);
  return out;
}
INSTANTIATE_TEST_SUITE_P(Process, Lifetime, ::testing::ValuesIn(names()), [](const auto& info) { return info.param; });

// The library taken out of a process that does not stand on it: ${TENON_UNLOAD} loads it by path.
class Unload : public ::testing::TestWithParam<const char*> {};

TEST_P(Unload, EndsByItselfWithItsCode) {
  const tenon::ChildResult child = tenon::run_child({TENON_UNLOAD, TENON_LIBRARY, GetParam()}, {20s, 1 << 16, {}});
  EXPECT_EQ(child.end, tenon::ChildResult::End::exited) << child.text() << "\n" << child.err;
  EXPECT_EQ(child.code, good) << child.err;
}
INSTANTIATE_TEST_SUITE_P(Process, Unload, ::testing::Values("unused", "released", "not_released", "again", "on_another_thread"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--case") return cases.at(argv[2])();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
