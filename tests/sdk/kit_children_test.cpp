// What the kit makes of the ways in which a child can end. Cases without a device, counted in memory that all children share.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "sdk/kit/children.h"

namespace tenon::kit {
namespace {

// One number, the same for a process and the children that it forks.
class Counter {
 public:
  Counter() : at_(static_cast<int*>(mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~Counter() { munmap(at_, sizeof(int)); }
  int next() { return (*at_)++; }
  int value() const { return *at_; }

 private:
  int* at_;
};

std::map<std::string, Outcome> outcomes(const std::vector<Case>& cases) {
  std::map<std::string, Outcome> out;
  run_cases(Target{}, cases, {.seconds = 20, .jobs = 1}, [&](std::size_t i, const Outcome& o) { out[cases[i].full()] = o; });
  return out;
}

Case bare(const char* name, std::function<void()> body) {
  return {"ends", name, [body = std::move(body)](Subject&) { body(); }, false, false};
}

// Ends the process as the leak checker does when it dies: after the case has passed.
void die_at_exit() {
  std::atexit([] {
    std::fputs("Tracer caught signal 11\n==1==LeakSanitizer has encountered a fatal error.\n", stderr);
    std::fflush(stderr);
    _exit(1);
  });
}

TEST(KitChildren, ADeadLeakCheckerIsNotTheProvidersFault) {
  Counter times;
  const auto out = outcomes({bare("checker_dies_once", [&] {
    if (times.next() == 0) die_at_exit();
  })});
  EXPECT_EQ(out.at("ends/checker_dies_once").verdict, Verdict::pass);
  EXPECT_EQ(times.value(), 2);
}

TEST(KitChildren, ACheckerThatAlwaysDiesIsReported) {
  Counter times;
  const auto out = outcomes({bare("checker_dies", [&] {
    times.next();
    die_at_exit();
  })});
  EXPECT_EQ(out.at("ends/checker_dies").verdict, Verdict::crash);
  EXPECT_EQ(times.value(), 3);
}

TEST(KitChildren, OtherEndsAreChargedAtOnce) {
  Counter times;
  const auto out = outcomes({bare("ends_badly",
                                  [&] {
                                    times.next();
                                    std::atexit([] { _exit(3); });
                                  }),
                             bare("ends_well", [] {})});
  EXPECT_EQ(out.at("ends/ends_badly").verdict, Verdict::crash);
  EXPECT_NE(out.at("ends/ends_badly").text.find("exit code 3"), std::string::npos) << out.at("ends/ends_badly").text;
  EXPECT_EQ(times.value(), 1);
  EXPECT_EQ(out.at("ends/ends_well").verdict, Verdict::pass);
}

}  // namespace
}  // namespace tenon::kit
