// Plans for boxes of sizes: the same results as plans for exact sizes, without planning; outputs over inputs.
#include <gmock/gmock.h>

#include "tests/support/small_decoder.h"

namespace tenon {
namespace {

using namespace test;

std::vector<std::vector<float>> results(const Session& s, std::int64_t fresh, std::int64_t past) {
  std::vector<std::vector<float>> all;
  for (const NamedDatum& out : run(s, decoder_feeds(fresh, past))) all.push_back(values<float>(out.datum));
  return all;
}

// What a session says that has never seen other sizes.
std::vector<std::vector<float>> exact(std::int64_t fresh, std::int64_t past, const std::string& more = "") {
  auto s = session(graph_bytes(small_decoder), with_providers({"cpu"}, more));
  return s ? results(*s, fresh, past) : std::vector<std::vector<float>>();
}

TEST(Box, TheNextTokenNeedsNoPlanAndGivesTheSame) {
  auto s = session(graph_bytes(small_decoder), with_providers({"cpu"}));
  ASSERT_TRUE(s);
  (void)results(*s, 5, 0);
  for (std::int64_t past = 5; past < 10; ++past) (void)results(*s, 1, past);
  const std::uint64_t plans = s->plans_made();
  EXPECT_LE(plans, 5u);
  for (std::int64_t past = 10; past < 100; ++past) {
    const auto got = results(*s, 1, past);
    if (past % 13 == 0) {
      EXPECT_EQ(got, exact(1, past)) << past;
    }
  }
  EXPECT_EQ(s->plans_made(), plans);
  for (std::int64_t past = 100; past < 300; ++past) (void)results(*s, 1, past);
  EXPECT_LE(s->plans_made(), plans + 2);  // the next boxes
  EXPECT_EQ(results(*s, 1, 300), exact(1, 300));
}

TEST(Box, SizesMayAlsoFallAndOthersChange) {
  auto s = session(graph_bytes(small_decoder), with_providers({"cpu"}));
  ASSERT_TRUE(s);
  for (std::int64_t past = 20; past < 30; ++past) (void)results(*s, 1, past);
  std::uint32_t seed = 7;
  for (int i = 0; i < 40; ++i) {
    seed = seed * 1664525u + 1013904223u;
    const std::int64_t past = seed >> 8 & 127, fresh = 1 + (i % 5 == 0 ? 3 : 0);
    EXPECT_EQ(results(*s, fresh, past), exact(fresh, past)) << fresh << " " << past;
  }
}

TEST(Box, ConfigurationSaysWhatGrows) {
  const std::string grow = "\"shapes\":{\"P\":{\"grow\":true,\"max\":40},\"Q\":{\"grow\":true},\"T\":{\"grow\":true}}";
  auto s = session(graph_bytes(small_decoder), with_providers({"cpu"}, grow));
  ASSERT_TRUE(s);
  for (std::int64_t past = 1; past <= 40; ++past) (void)results(*s, 1, past);
  EXPECT_EQ(s->plans_made(), 1u);
  EXPECT_EQ(results(*s, 1, 17), exact(1, 17));
  EXPECT_EQ(results(*s, 1, 41), exact(1, 41));
}

TEST(Box, AWrongSizeIsTheSameErrorInside) {
  auto s = session(graph_bytes(small_decoder), with_providers({"cpu"}));
  ASSERT_TRUE(s);
  for (std::int64_t past = 3; past < 12; ++past) (void)results(*s, 1, past);
  auto feeds = decoder_feeds(1, 12);
  feeds[3].datum.dims[1] = 7;
  std::vector<NamedDatum> out;
  const Status status = s->run(feeds, {}, out);
  EXPECT_EQ(status.code(), TENON_INVALID_ARGUMENT) << status.text();
  EXPECT_EQ(results(*s, 1, 13), exact(1, 13));
}

TEST(Box, ThreadsChangeNothing) {
  const std::string one = "\"session\":{\"threads\":1}", two = "\"session\":{\"threads\":2}";
  auto s = session(graph_bytes(small_decoder), with_providers({"cpu"}, two));
  ASSERT_TRUE(s);
  for (std::int64_t past = 500; past < 520; ++past) EXPECT_EQ(results(*s, 1, past), exact(1, past, one));
}

// A cache of fixed capacity: the update is written where the cache is.
TEST(Box, AnOutputMayStandOverAnInputWhereTheModelWritesItThere) {
  const std::string model = model_bytes("<ir_version: 10, opset_import: [\"\" : 24]> g (float[1,2,6,2] past, float[1,2,1,2] fresh, int64[1] at) => "
                                        "(float[1,2,6,2] present, float[1,2,6,2] twice) { present = TensorScatter<axis = 2>(past, fresh, at)"
                                        " twice = Add(present, present) }");
  auto s = session(model, with_providers({"cpu"}));
  ASSERT_TRUE(s);
  Datum cache = tensor<float>({1, 2, 6, 2}, std::vector<float>(24, 0));
  std::vector<float> expected(24, 0);
  for (std::int64_t at = 0; at < 6; ++at) {
    const float x = static_cast<float>(at + 1);
    const std::vector<NamedDatum> feeds{{"past", cache}, {"fresh", tensor<float>({1, 2, 1, 2}, {x, x, -x, -x})}, {"at", tensor<std::int64_t>({1}, {at})}};
    std::vector<NamedDatum> out{{"present", cache}, {"twice", {}}};
    const Status status = s->run(feeds, {}, out);
    ASSERT_TRUE(status.ok()) << status.text();
    for (std::size_t e = 0; e < 2; ++e) {
      expected[static_cast<std::size_t>(at) * 2 + e] = x;
      expected[12 + static_cast<std::size_t>(at) * 2 + e] = -x;
    }
    EXPECT_EQ(out[0].datum.data, cache.data);
    EXPECT_EQ(values<float>(cache), expected);
  }
}

// The cache is as large as it will ever be; a number says how much of it counts.
TEST(Box, ACacheThatIsSharedIsAppendedToWithoutPlanning) {
  const std::string model = model_bytes("<ir_version: 10, opset_import: [\"\" : 18, \"com.microsoft\" : 1]> g (float[1,1,8] q, float[1,1,4] k, float[1,1,4] v,"
                                        " float[1,1,32,4] past_k, float[1,1,32,4] past_v, int32[1] last, int32[1] total) => (float[1,1,8] y,"
                                        " float[1,1,M,4] present_k, float[1,1,N,4] present_v) { y, present_k, present_v ="
                                        " com.microsoft.GroupQueryAttention<num_heads = 2, kv_num_heads = 1>(q, k, v, past_k, past_v, last, total) }");
  auto apart = session(model, with_providers({"cpu"})), together = session(model, with_providers({"cpu"}));
  ASSERT_TRUE(apart && together);
  const std::vector<float> zeros(128, 0);
  Datum plain_k = tensor<float>({1, 1, 32, 4}, zeros), plain_v = plain_k, k = tensor<float>({1, 1, 32, 4}, zeros), v = tensor<float>({1, 1, 32, 4}, zeros);
  for (std::int32_t at = 0; at < 30; ++at) {
    const float x = static_cast<float>(at % 7 - 3) * 0.3f;
    std::vector<NamedDatum> feeds{{"q", tensor<float>({1, 1, 8}, {x, 1, 2, x, 0, x, 1, 1})}, {"k", tensor<float>({1, 1, 4}, {x, 1, -x, 2})},
                                  {"v", tensor<float>({1, 1, 4}, {1, x, x, -1})},            {"past_k", plain_k},
                                  {"past_v", plain_v},                                         {"last", tensor<std::int32_t>({1}, {at})},
                                  {"total", tensor<std::int32_t>({1}, {at + 1})}};
    const auto expected = run(*apart, feeds);
    ASSERT_EQ(expected.size(), 3u);
    feeds[3].datum = k, feeds[4].datum = v;
    std::vector<NamedDatum> out{{"y", {}}, {"present_k", k}, {"present_v", v}};
    const Status status = together->run(feeds, {}, out);
    ASSERT_TRUE(status.ok()) << status.text();
    EXPECT_EQ(values<float>(out[0].datum), values<float>(expected[0].datum)) << at;
    EXPECT_EQ(values<float>(k), values<float>(expected[1].datum)) << at;
    EXPECT_EQ(values<float>(v), values<float>(expected[2].datum)) << at;
    plain_k = expected[1].datum, plain_v = expected[2].datum;
  }
  EXPECT_LE(together->plans_made(), 4u);
}

TEST(Box, AnInputThatIsReadLaterIsNotWrittenOver) {
  auto s = session(graph_bytes("g (float[3] x) => (float[3] y, float[3] z) { y = Neg(x) a = Exp(y) z = Mul(a, x) }"), with_providers({"cpu"}));
  ASSERT_TRUE(s);
  const Datum x = tensor<float>({3}, {1, 2, 3});
  std::vector<NamedDatum> out{{"y", x}, {"z", {}}};
  EXPECT_THAT(std::string(s->run(std::vector<NamedDatum>{{"x", x}}, {}, out).text()), ::testing::HasSubstr("overlaps"));
  EXPECT_EQ(values<float>(x), (std::vector<float>{1, 2, 3}));
}

}  // namespace
}  // namespace tenon
