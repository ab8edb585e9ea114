// A child's end is told apart: exit, signal, time limit, not started; its output is kept up to a limit.
#include <csignal>
#include <cerrno>
#include <cstdlib>

#include <gmock/gmock.h>

#include "core/base/child_process.h"

namespace tenon {
namespace {

using ::testing::HasSubstr;
using End = ChildResult::End;

ChildResult shell(const std::string& script, ChildOptions options = {}) { return run_child({"sh", "-c", script}, options); }

TEST(ChildProcess, OutputAndExitCode) {
  const ChildResult r = shell("printf hello; printf oops >&2; exit 3");
  EXPECT_EQ(r.end, End::exited);
  EXPECT_EQ(r.code, 3);
  EXPECT_EQ(r.out, "hello");
  EXPECT_EQ(r.err, "oops");
  EXPECT_EQ(r.text(), "exited with 3");
  EXPECT_FALSE(r.ok());
  EXPECT_TRUE(shell("exit 0").ok());
}

TEST(ChildProcess, TheSignalIsNamed) {
  const ChildResult r = shell("printf before; kill -SEGV $$");
  EXPECT_EQ(r.end, End::signalled);
  EXPECT_EQ(r.code, SIGSEGV);
  EXPECT_EQ(r.out, "before");
  EXPECT_EQ(r.text(), "killed by SIGSEGV (invalid memory access)");
}

TEST(ChildProcess, AHangEndsAtTheLimitAndTakesItsChildrenAlong) {
  ChildOptions options;
  options.limit = std::chrono::milliseconds(150);
  const auto start = std::chrono::steady_clock::now();
  const ChildResult r = shell("sleep 60 & echo $!; wait", options);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_EQ(r.end, End::timed_out);
  EXPECT_THAT(r.text(), HasSubstr("still running after 0."));
  const pid_t grandchild = std::stoi(r.out);
  bool gone = false;
  for (int i = 0; i < 200 && !gone; ++i) {
    // An orphan that was killed stays a zombie until its new parent looks: that counts as gone too.
    gone = ::kill(grandchild, 0) != 0 || shell("grep -q 'State:.Z' /proc/" + std::to_string(grandchild) + "/status").ok();
    if (!gone) shell("sleep 0.01");
  }
  EXPECT_TRUE(gone);
}

TEST(ChildProcess, WhoGoesOnWritingMayTakeLongerThanASilence) {
  ChildOptions options;
  options.silence = std::chrono::seconds(2);
  const ChildResult r = shell("for i in 1 2 3 4 5 6; do echo $i; sleep 0.4; done", options);
  EXPECT_TRUE(r.ok()) << r.text();
  EXPECT_GT(r.time, options.silence);
  EXPECT_EQ(r.silent.count(), 0);

  options.silence = std::chrono::milliseconds(100);
  const ChildResult mute = shell("echo begun; exec sleep 60", options);
  EXPECT_EQ(mute.end, End::timed_out);
  EXPECT_GE(mute.silent, options.silence);
  EXPECT_THAT(mute.text(), HasSubstr("silent for the last "));

  options.limit = std::chrono::milliseconds(300);
  options.silence = std::chrono::minutes(1);
  const ChildResult talkative = shell("while :; do echo on; sleep 0.02; done", options);
  EXPECT_EQ(talkative.end, End::timed_out);
  EXPECT_EQ(talkative.silent.count(), 0);
}

TEST(ChildProcess, WhatTheChildLeavesRunningIsNotWaitedFor) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(shell("sleep 60 & exit 0").ok());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(ChildProcess, ACommandThatIsNotThere) {
  const ChildResult r = run_child({"/nowhere/at/all"});
  EXPECT_EQ(r.end, End::not_started);
  EXPECT_EQ(r.code, ENOENT);
  EXPECT_THAT(r.text(), HasSubstr("No such file"));
  EXPECT_EQ(run_child({}).end, End::not_started);
}

TEST(ChildProcess, OutputBeyondTheLimitIsDroppedAndSaidSo) {
  ChildOptions options;
  options.output_limit = 1000;
  const ChildResult r = shell("head -c 300000 /dev/zero | tr '\\0' x", options);
  EXPECT_TRUE(r.ok());
  EXPECT_EQ(r.out, std::string(1000, 'x'));
  EXPECT_TRUE(r.cut);
  EXPECT_FALSE(shell("printf x", options).cut);
}

TEST(ChildProcess, TheEnvironmentIsOursWithChanges) {
  ::setenv("TENON_TEST_KEPT", "kept", 1);
  ::setenv("TENON_TEST_CHANGED", "old", 1);
  ChildOptions options;
  options.environment = {{"TENON_TEST_CHANGED", "new"}};
  EXPECT_EQ(shell("printf \"$TENON_TEST_KEPT $TENON_TEST_CHANGED\"", options).out, "kept new");
}

}  // namespace
}  // namespace tenon
