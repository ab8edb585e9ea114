// A device that fails: every call in turn, a program that does not build, a device that vanishes. Always a status with a reason, never a
// crash, and nothing stays behind.
#include <cstdlib>

#include <dlfcn.h>
#include <gmock/gmock.h>

#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::AnyOf;
using ::testing::HasSubstr;

// The faulty library's controls.
struct Faulty {
  void* library = ::dlopen(TENON_FAULTY_OPENCL, RTLD_NOW | RTLD_LOCAL);
  template <class Fn>
  Fn function(const char* name) const { return reinterpret_cast<Fn>(library ? ::dlsym(library, name) : nullptr); }
  void set(const char* name, long after, int code, bool forever = false) const { function<void (*)(const char*, long, int, int)>("faulty_set")(name, after, code, forever); }
  void clear() const { set("", 0, 0); }
  long calls(const char* name) const { return function<long (*)(const char*)>("faulty_calls")(name); }
  long living() const { return function<long (*)()>("faulty_living")(); }
};

constexpr const char* model = R"(g (float[N,4] x) => (float[N,4] y)
  <float[4] w = {1, 2, 3, 4}> {
  a = Mul(x, w)
  b = Exp(a)
  y = Add(b, x)
})";

class OpenclFaults : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(faulty_.library) << ::dlerror();
    faulty_.clear();
    // Without a device there is nothing to fail.
    auto s = load(graph_bytes(model), with_opencl());
    if (!s.ok()) GTEST_SKIP() << s.status().text();
  }
  void TearDown() override {
    faulty_.clear();
    EXPECT_EQ(faulty_.living(), 0);
  }
  Config with_opencl() const {
    return config(std::string(R"({"providers":[{"use":"opencl","options":{"cache":false,"library":")") + TENON_FAULTY_OPENCL + R"(","memory":")" + GetParam() + R"("}}]})");
  }
  // Loads and runs; the text of what went wrong, "" when nothing did.
  std::string attempt() {
    auto s = load(graph_bytes(model), with_opencl());
    if (!s.ok()) return std::string(s.status().text());
    std::vector<NamedDatum> out;
    const std::vector<NamedDatum> feeds{{"x", tensor<float>({1, 4}, {1, 1, 1, 1})}};
    const Status status = (*s)->run(feeds, {}, out);
    if (!status.ok()) return std::string(status.text());
    EXPECT_NEAR(values<float>(out.at(0).datum)[1], std::exp(2.0f) + 1, 1e-4);
    return "";
  }
  Faulty faulty_;
};

TEST_P(OpenclFaults, EveryCallInTurn) {
  const char* functions[] = {"clCreateContext", "clCreateCommandQueue", "clCreateBuffer", "clCreateProgramWithSource", "clBuildProgram", "clCreateKernel",
                             "clSetKernelArg", "clEnqueueNDRangeKernel", "clEnqueueReadBuffer", "clEnqueueWriteBuffer", "clFinish"};
  for (const char* f : functions) {
    const long before = faulty_.calls(f);
    faulty_.clear();
    ASSERT_EQ(attempt(), "") << f;
    const long made = faulty_.calls(f) - before;
    for (long n = 0; n < made; ++n) {
      faulty_.set(f, n, -6);  // CL_OUT_OF_HOST_MEMORY
      const std::string text = attempt();
      EXPECT_THAT(text, HasSubstr("opencl")) << f << " call " << n;
      EXPECT_THAT(text, HasSubstr("CL_OUT_OF_HOST_MEMORY (-6)")) << f << " call " << n;
      faulty_.clear();
      EXPECT_EQ(faulty_.living(), 0) << f << " call " << n << " left something behind";
    }
  }
}

TEST_P(OpenclFaults, ASessionSurvivesAFailedRun) {
  auto s = session(graph_bytes(model), with_opencl());
  ASSERT_TRUE(s);
  const std::vector<NamedDatum> feeds{{"x", tensor<float>({1, 4}, {1, 1, 1, 1})}};
  (void)run(*s, feeds);
  faulty_.set("clEnqueueNDRangeKernel", 0, -5);  // CL_OUT_OF_RESOURCES
  EXPECT_THAT(run_failure(*s, feeds), HasSubstr("CL_OUT_OF_RESOURCES (-5)"));
  faulty_.clear();
  const auto out = run(*s, feeds);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_NEAR(values<float>(out[0].datum)[0], std::exp(1.0f) + 1, 1e-4);
}

TEST_P(OpenclFaults, AProgramThatDoesNotBuildSaysSo) {
  faulty_.set("clBuildProgram", 0, -11, true);  // CL_BUILD_PROGRAM_FAILURE
  const std::string text = attempt();
  EXPECT_THAT(text, HasSubstr("does not build"));
  EXPECT_THAT(text, HasSubstr("__kernel"));
}

TEST_P(OpenclFaults, ADeviceThatVanishes) {
  {
    auto s = session(graph_bytes(model), with_opencl());
    ASSERT_TRUE(s);
    const std::vector<NamedDatum> feeds{{"x", tensor<float>({1, 4}, {1, 1, 1, 1})}};
    (void)run(*s, feeds);
    faulty_.set("", 0, -2, true);  // CL_DEVICE_NOT_AVAILABLE from now on
    std::vector<NamedDatum> out;
    Status status = s->run(feeds, {}, out);
    EXPECT_EQ(status.code(), TENON_DEVICE_LOST) << status.text();
    EXPECT_THAT(std::string(status.text()), HasSubstr("CL_DEVICE_NOT_AVAILABLE (-2)"));
    // The session says so again instead of hanging or crashing.
    status = s->run(feeds, {}, out);
    EXPECT_EQ(status.code(), TENON_DEVICE_LOST) << status.text();
  }
  faulty_.clear();
  EXPECT_EQ(faulty_.living(), 0);
}

TEST_P(OpenclFaults, NoPlatformAndNoLibraryHaveReasons) {
  faulty_.set("clGetPlatformIDs", 0, -1001, true);
  EXPECT_THAT(attempt(), AnyOf(HasSubstr("no OpenCL platform"), HasSubstr("no device at all")));
  faulty_.clear();
  const std::string text = load_failure(graph_bytes(model), config(R"({"providers":[{"use":"opencl","options":{"library":"/nowhere/libOpenCL.so"}}]})"));
  EXPECT_THAT(text, HasSubstr("/nowhere/libOpenCL.so"));
  EXPECT_THAT(text, HasSubstr("ocl-icd-libopencl1"));
}

INSTANTIATE_TEST_SUITE_P(Memory, OpenclFaults, ::testing::Values("host", "device"), [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace tenon
