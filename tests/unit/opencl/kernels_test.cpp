// The cache of built kernels: in the process, on disk, damaged, full.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "tests/unit/opencl/device.h"

namespace tenon::opencl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

KernelText text(int n) { return {{"inline int helper(int x) { return x + 1; }"}, "__kernel void KERNEL_NAME(__global int* y) { y[0] = helper(" + std::to_string(n) + "); }"}; }

class OpenclKernels : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!device()) GTEST_SKIP() << no_device();
    folder_ = fs::path(::testing::TempDir()) / ("tenon_kernels_" + std::to_string(::getpid()) + "_" + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::unique_ptr<Kernels> cache(std::int64_t limit = 1 << 20) const {
    return std::make_unique<Kernels>(*device()->api, device()->context, device()->candidate.device, device()->profile.identity(), folder_.string(), limit);
  }
  // Runs the kernel and says that it has.
  int run(Kernels& kernels, const KernelText& t) const {
    const BuiltKernel built = kernels.get({&t}).at(0);
    cl_int code = 0;
    const Api& api = *device()->api;
    const KernelHandle k(api.clCreateKernel(built.program->program, built.name.c_str(), &code), api.clReleaseKernel);
    const MemHandle y = device()->allocate(4);
    cl_mem mem = y.get();
    api.clSetKernelArg(k.get(), 0, sizeof mem, &mem);
    const std::size_t one = 1;
    api.clEnqueueNDRangeKernel(device()->own_queue(), k.get(), 1, nullptr, &one, &one, 0, nullptr, nullptr);
    int out = 0;
    check(api.clEnqueueReadBuffer(device()->own_queue(), mem, CL_TRUE, 0, sizeof out, &out, 0, nullptr, nullptr), "reading");
    kernels.ran({built.program});
    return out;
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> out;
    if (fs::exists(folder_))
      for (const auto& e : fs::directory_iterator(folder_)) out.push_back(e.path());
    return out;
  }
  fs::path folder_;
};

TEST_F(OpenclKernels, EqualTextsAreBuiltOnce) {
  auto kernels = cache();
  const KernelText a = text(1), b = text(2);
  const auto built = kernels->get({&a, &b, &a});
  EXPECT_EQ(built[0].name, built[2].name);
  EXPECT_NE(built[0].name, built[1].name);
  EXPECT_EQ(built[0].program, built[1].program);  // one program for what was missing together
  (void)kernels->get({&b});
  EXPECT_EQ(kernels->counts().built, 1u);
}

TEST_F(OpenclKernels, ASecondProcessReadsThemFromDisk) {
  EXPECT_EQ(run(*cache(), text(41)), 42);
  ASSERT_EQ(files().size(), 1u);
  auto again = cache();
  EXPECT_EQ(run(*again, text(41)), 42);
  EXPECT_EQ(again->counts().from_disk, 1u);
  EXPECT_EQ(again->counts().built, 0u);
}

TEST_F(OpenclKernels, AFileServesWhoeverWantsOneOfItsKernels) {
  {
    auto kernels = cache();
    const KernelText a = text(1), b = text(2);
    const auto built = kernels->get({&a, &b});
    (void)run(*kernels, text(1));
    kernels->ran({built[0].program});
  }
  auto again = cache();
  const KernelText b = text(2), c = text(3);
  const auto built = again->get({&b, &c});
  EXPECT_EQ(again->counts().from_disk, 1u);
  EXPECT_EQ(again->counts().built, 1u);  // c alone
  EXPECT_NE(built[0].program, built[1].program);
}

TEST_F(OpenclKernels, ADamagedFileIsBuiltAgain) {
  (void)run(*cache(), text(5));
  ASSERT_EQ(files().size(), 1u);
  {
    std::fstream f(files()[0], std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(200);
    f.put('!');
  }
  auto again = cache();
  EXPECT_EQ(run(*again, text(5)), 6);
  EXPECT_EQ(again->counts().from_disk, 0u);
  EXPECT_EQ(again->counts().built, 1u);
}

TEST_F(OpenclKernels, TheFolderKeepsItsLimit) {
  auto kernels = cache(1);
  (void)run(*kernels, text(1));
  (void)run(*kernels, text(2));
  EXPECT_TRUE(files().empty());
}

TEST_F(OpenclKernels, AFolderThatCannotBeMadeIsNoFailure) {
  const fs::path blocked = folder_;
  { std::ofstream(blocked) << "a file"; }
  EXPECT_EQ(run(*cache(), text(7)), 8);
}

TEST_F(OpenclKernels, AnErrorShowsLogAndSource) {
  auto kernels = cache();
  const KernelText good = text(1), bad{{}, "__kernel void KERNEL_NAME(__global int* y) { y[0] = nothing_of_that_name; }"};
  try {
    (void)kernels->get({&good, &bad});
    FAIL() << "it was built";
  } catch (const Failure& f) {
    EXPECT_THAT(f.text, HasSubstr("CL_BUILD_PROGRAM_FAILURE"));
    EXPECT_THAT(f.text, HasSubstr("y[0] = nothing_of_that_name"));
  }
}

}  // namespace
}  // namespace tenon::opencl
