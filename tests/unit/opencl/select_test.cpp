// Which device an option names.
#include <gmock/gmock.h>

#include "plugins/opencl/device/select.h"
#include "plugins/opencl/host.h"

namespace tenon::opencl {
namespace {

using ::testing::HasSubstr;

Candidate candidate(std::uint32_t platform, std::uint32_t index, cl_device_type type, std::string name) {
  Candidate c{nullptr, nullptr, platform, index, type, {}};
  c.profile.name = std::move(name);
  return c;
}

const Candidates machine{{candidate(0, 0, CL_DEVICE_TYPE_CPU, "pthread-cpu"), candidate(1, 0, CL_DEVICE_TYPE_GPU, "Arc A770"),
                          candidate(1, 1, CL_DEVICE_TYPE_GPU, "UHD 630")}, {}};

std::string first(const std::string& choice) { return select(machine, choice).at(0).profile.name; }
Failure failure(const std::string& choice, const Candidates& all = machine) {
  try {
    (void)select(all, choice);
  } catch (const Failure& f) {
    return f;
  }
  ADD_FAILURE() << choice << " was accepted";
  return {0, ""};
}

TEST(OpenclSelect, AnyPrefersGpus) {
  EXPECT_EQ(first("any"), "Arc A770");
  EXPECT_EQ(select(machine, "any").size(), 3u);
  EXPECT_EQ(select({{machine.devices[0]}, {}}, "any").at(0).profile.name, "pthread-cpu");
}

TEST(OpenclSelect, KindsIndicesAndNames) {
  EXPECT_EQ(first("cpu"), "pthread-cpu");
  EXPECT_EQ(first("gpu"), "Arc A770");
  EXPECT_EQ(first("1:1"), "UHD 630");
  EXPECT_EQ(first("opencl:1:0"), "Arc A770");
  EXPECT_EQ(first("name~uhd"), "UHD 630");
}

TEST(OpenclSelect, WhatDoesNotFitSaysWhatThereIs) {
  const Failure none = failure("3:0");
  EXPECT_EQ(none.code, TENON_NOT_FOUND);
  EXPECT_THAT(none.text, HasSubstr("1:1 UHD 630"));
  EXPECT_EQ(failure("fastest").code, TENON_INVALID_ARGUMENT);
  EXPECT_THAT(failure("fastest").text, HasSubstr("<platform>:<index>"));
  EXPECT_EQ(failure("name~[").code, TENON_INVALID_ARGUMENT);
  EXPECT_THAT(failure("any", {{}, {"platform 0 gives no devices"}}).text, HasSubstr("platform 0 gives no devices"));
}

}  // namespace
}  // namespace tenon::opencl
