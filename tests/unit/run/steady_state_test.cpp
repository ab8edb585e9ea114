// What a warm run costs: no allocation on a static model; one plan for each signature.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"  // the operators below are matched with each other

#include <atomic>
#include <cstdlib>
#include <new>

#include <gmock/gmock.h>

#include "tests/support/model_text.h"
#include "tests/support/small_decoder.h"

namespace {
std::atomic<bool> counting{false};
std::atomic<long> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
  void* p = nullptr;
  if (alignment <= alignof(std::max_align_t)) p = std::malloc(bytes ? bytes : 1);
  else if (posix_memalign(&p, alignment, bytes ? bytes : 1) != 0) p = nullptr;
  return p;
}
}  // namespace

// All of the process, providers too: their operator new resolves to this one. Sanitizers bring their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void* operator new(std::size_t n) {
  if (void* p = counted(n, 0)) return p;
  throw std::bad_alloc();
}
void* operator new(std::size_t n, std::align_val_t a) {
  if (void* p = counted(n, static_cast<std::size_t>(a))) return p;
  throw std::bad_alloc();
}
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return counted(n, 0); }
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept { return counted(n, static_cast<std::size_t>(a)); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept { std::free(p); }
constexpr bool can_count = true;
#else
constexpr bool can_count = false;
#endif

namespace tenon {
namespace {

using namespace test;

std::string with_weights() {
  onnx::ModelProto model;
  const std::string header = "<ir_version: 10, opset_import: [\"\" : 18]> g (float[1,8,16,16] x, float[8,8,3,3] w, float[10,8] m) => (float[1,10] y) {"
                             "a = Conv<pads = [1,1,1,1]>(x, w) b = Relu(a) c = Add(b, x) d = MaxPool<kernel_shape = [2,2], strides = [2,2]>(c)"
                             "e = GlobalAveragePool(d) f = Flatten(e) h = Gemm<transB = 1>(f, m) y = Softmax(h) }";
  onnx::OnnxParser parser(header.c_str());
  EXPECT_TRUE(parser.Parse(model).IsOK());
  for (const auto& [name, dims] : std::vector<std::pair<std::string, Dims>>{{"w", {8, 8, 3, 3}}, {"m", {10, 8}}}) {
    auto* t = model.mutable_graph()->add_initializer();
    t->set_name(name);
    t->set_data_type(TENON_DTYPE_FLOAT);
    std::int64_t n = 1;
    for (std::int64_t d : dims) t->add_dims(d), n *= d;
    for (std::int64_t i = 0; i < n; ++i) t->add_float_data(0.01f * static_cast<float>(i % 13 - 6));
  }
  auto* inputs = model.mutable_graph()->mutable_input();
  inputs->RemoveLast();
  inputs->RemoveLast();
  return model.SerializeAsString();
}

TEST(SteadyState, AWarmRunOfAStaticModelAllocatesNothing) {
  if (!can_count) GTEST_SKIP() << "a sanitizer owns operator new";
  for (const char* threads : {"1", "2"}) {
    auto s = session(with_weights(), with_providers({"cpu"}, std::string("\"session\":{\"threads\":") + threads + "}"));
    ASSERT_TRUE(s);
    const std::vector<NamedDatum> feeds{{"x", tensor<float>({1, 8, 16, 16}, std::vector<float>(8 * 256, 0.5f))}};
    std::vector<NamedDatum> out{{"y", *Datum::tensor(TENON_DTYPE_FLOAT, {1, 10})}};
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(s->run(feeds, {}, out).ok());
    allocations = 0;
    counting = true;
    bool good = true;
    for (int i = 0; i < 20; ++i) good = good && s->run(feeds, {}, out).ok();
    counting = false;
    EXPECT_TRUE(good);
    EXPECT_EQ(allocations.load(), 0) << threads << " threads";
  }
}

TEST(SteadyState, ADecoderWhosePastGrowsPlansNothingInsideABox) {
  if (!can_count) GTEST_SKIP() << "a sanitizer owns operator new";
  auto s = session(graph_bytes(small_decoder), with_providers({"cpu"}, "\"session\":{\"threads\":1}"));
  ASSERT_TRUE(s);
  constexpr std::int64_t most = 128;
  std::vector<NamedDatum> out{{"y", *Datum::tensor(TENON_DTYPE_FLOAT, {1, 2, 1, 4})},
                              {"k", *Datum::tensor(TENON_DTYPE_FLOAT, {1, 2, most, 4})},
                              {"v", *Datum::tensor(TENON_DTYPE_FLOAT, {1, 2, most, 4})}};
  std::vector<NamedDatum> feeds = decoder_feeds(1, most - 1);
  long counted = 0;
  std::uint64_t plans = 0;
  for (std::int64_t past = 0; past < 60; ++past) {
    feeds[1].datum.dims[2] = feeds[2].datum.dims[2] = past;
    feeds[3].datum.dims[1] = past + 1;
    if (past == 10) plans = s->plans_made();
    allocations = 0;
    counting = true;
    const bool good = s->run(feeds, {}, out).ok();
    counting = false;
    ASSERT_TRUE(good);
    ASSERT_EQ(out[1].datum.dims, (Dims{1, 2, past + 1, 4}));
    if (past >= 10) counted += allocations.load();
  }
  EXPECT_EQ(counted, 0);
  EXPECT_EQ(s->plans_made(), plans);
}

TEST(SteadyState, TheNextTokenOfAStateAllocatesNothing) {
  if (!can_count) GTEST_SKIP() << "a sanitizer owns operator new";
  auto s = session(graph_bytes(small_decoder), with_providers({"cpu"}, R"("session":{"threads":1,"state":{"past_*":"*"}})"));
  ASSERT_TRUE(s);
  std::vector<NamedDatum> out{{"y", *Datum::tensor(TENON_DTYPE_FLOAT, {1, 2, 1, 4})}};
  const std::vector<NamedDatum> all = decoder_feeds(1, 127);
  std::vector<NamedDatum> feeds{all[0], all[3]};
  long counted = 0;
  std::uint64_t plans = 0;
  for (std::int64_t past = 0; past < 60; ++past) {
    feeds[1].datum.dims[1] = past + 1;
    if (past == 10) plans = s->plans_made();
    allocations = 0;
    counting = true;
    const Status good = s->run(feeds, {}, out);
    counting = false;
    ASSERT_TRUE(good.ok()) << good.text();
    if (past >= 10) counted += allocations.load();
  }
  EXPECT_EQ(counted, 0);
  EXPECT_EQ(s->plans_made(), plans);
  EXPECT_EQ(s->state()->rows(), 60);
}

TEST(SteadyState, ResultsGoWhereTheCallerSays) {
  auto s = session(graph_bytes("g (float[N] x) => (float[N] y, float[N] z) { y = Neg(x) z = Identity(x) }"), with_providers({"cpu"}));
  ASSERT_TRUE(s);
  std::vector<NamedDatum> out{{"y", *Datum::tensor(TENON_DTYPE_FLOAT, {3})}, {"z", {}}};
  std::byte* const memory = out[0].datum.data;
  const auto x = tensor<float>({3}, {1, 2, 3});
  ASSERT_TRUE(s->run(std::vector<NamedDatum>{{"x", x}}, {}, out).ok());
  EXPECT_EQ(out[0].datum.data, memory);
  EXPECT_THAT(values<float>(out[0].datum), ::testing::ElementsAre(-1, -2, -3));
  EXPECT_THAT(values<float>(out[1].datum), ::testing::ElementsAre(1, 2, 3));
  EXPECT_NE(out[1].datum.data, x.data);  // never the caller's memory
  out[0].datum = *Datum::tensor(TENON_DTYPE_FLOAT, {2});
  EXPECT_THAT(std::string(s->run(std::vector<NamedDatum>{{"x", x}}, {}, out).text()), ::testing::HasSubstr("the memory given is 8 bytes"));
  out[0].datum = x;
  EXPECT_THAT(std::string(s->run(std::vector<NamedDatum>{{"x", x}}, {}, out).text()), ::testing::HasSubstr("overlaps"));
}

TEST(SteadyState, SizesThatComeBackNeedNoNewPlan) {
  auto s = session(graph_bytes("g (float[N,2] x) => (float[M] y) { s = Constant<value = int64[1] {-1}>() y = Reshape(x, s) }"), with_providers({"cpu"}));
  ASSERT_TRUE(s);
  for (int round = 0; round < 3; ++round)
    for (std::int64_t n : {1, 7, 3, 0}) {
      const auto out = run(*s, {{"x", tensor<float>({n, 2}, std::vector<float>(static_cast<std::size_t>(2 * n), 1.5f))}});
      ASSERT_EQ(out.size(), 1u);
      EXPECT_EQ(out[0].datum.dims, Dims{2 * n});
    }
}

}  // namespace
}  // namespace tenon
