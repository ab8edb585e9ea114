// Costs that were measured: kept safely, found by what is computed and not by names, and better than what a provider claims.
#include <filesystem>
#include <sys/stat.h>

#include <gmock/gmock.h>

#include "core/partition/costs.h"
#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class Costs : public ::testing::Test {
 protected:
  Costs() {
    std::string pattern = (fs::temp_directory_path() / "tenon-costs-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    folder_ = root_ + "/costs";
  }
  ~Costs() override { fs::remove_all(root_); }
  std::string key() const { return "\"placement\":{\"costs\":\"" + folder_ + "\"}"; }
  std::string root_, folder_;
};

TEST(CostTable, TextAndBack) {
  CostTable table;
  table.set({1, 0xfedcba9876543210}, {1234.5, 20, "Conv+Relu", 77, 4096, 50});
  table.set({2, 3}, {1e6, 1, "MatMul"});
  table.set({2, 3}, {2e6, 2, "MatMul"});  // the newest counts
  for (double bad : {0.0, -1.0, 1e300, std::numeric_limits<double>::quiet_NaN()}) table.set({9, 9}, {bad, 1, "Add"});
  const Result<CostTable> back = CostTable::parse(table.text());
  ASSERT_TRUE(back.ok()) << back.status().text();
  ASSERT_EQ(back->entries().size(), 2u);
  EXPECT_EQ(back->find({1, 0xfedcba9876543210})->ns, 1234.5);
  EXPECT_EQ(back->find({1, 0xfedcba9876543210})->operators, "Conv+Relu");
  EXPECT_EQ(back->find({1, 0xfedcba9876543210})->family, 77u);
  EXPECT_EQ(back->find({1, 0xfedcba9876543210})->bytes, 4096);
  EXPECT_EQ(back->find({1, 0xfedcba9876543210})->hint_ns, 50);
  EXPECT_EQ(back->find({2, 3})->ns, 2e6);
  EXPECT_EQ(back->find({3, 2}), nullptr);
}

TEST(CostTable, DamagedTextsAreRefusedWhole) {
  const std::string good = "tenon costs 2\n0000000000000001 0000000000000002 5 1 0000000000000003 64 7 Add\n";
  EXPECT_TRUE(CostTable::parse(good).ok());
  for (const std::string& bad :
       {std::string(""), std::string("tenon costs 1\n"), good + "x\n", good + "1 2 -5 1 3 64 7 Add\n", good + "1 2 nan 1 3 64 7 Add\n", good + "1 2 1e99 1 3 64 7 Add\n", good + "1 2 5 1 3 64 7\n", good + "1 2 5 1 3 -64 7 Add\n",
        good + "1 2 5 1 3 64 nan Add\n", good + "1 2 5\n", good + "g 2 5 1 3 64 7 Add\n"}) {
    const Result<CostTable> r = CostTable::parse(bad);
    ASSERT_FALSE(r.ok()) << bad;
    EXPECT_EQ(r.status().code(), TENON_DATA_LOSS);
  }
  for (std::size_t cut = 15; cut + 1 < good.size() - 4; ++cut) EXPECT_FALSE(CostTable::parse(good.substr(0, cut)).ok()) << cut;
}

// Times that grow with bytes, or with whatever the provider's hints grow with.
TEST(NearbyCost, FollowsHintsThatGrowAndBytesWhereTheyDoNot) {
  const LearnedCost small{1000, 5, "Exp", 1, 1024, 50}, large{16000, 5, "Exp", 1, 16384, 50};
  const std::vector<const LearnedCost*> constant{&small, &large};
  EXPECT_NEAR(nearby_cost(constant, 4096, 50), 4000, 1);   // between
  EXPECT_NEAR(nearby_cost(constant, 32768, 50), 32000, 1);  // beyond
  EXPECT_NEAR(nearby_cost(constant, 512, 50), 500, 1);
  EXPECT_EQ(nearby_cost(constant, 1e6, 50), 0) << "too far away to say";
  EXPECT_EQ(nearby_cost({}, 1024, 50), 0);
  const LearnedCost few{300, 5, "MatMul", 2, 1024, 100}, many{30000, 5, "MatMul", 2, 4096, 10000};  // it takes three times its hints
  const std::vector<const LearnedCost*> hinted{&few, &many};
  EXPECT_NEAR(nearby_cost(hinted, 2048, 1500), 4500, 1);
  EXPECT_NEAR(nearby_cost(std::span(hinted).first(1), 2048, 1500), 4500, 1);
  EXPECT_NEAR(nearby_cost(hinted, 8192, 20000), 60000, 1);
}

// What a session over this text places, and its claims' costs by operator.
std::vector<PlacedNode> nodes_of(const std::string& bytes, const std::string& more) {
  auto s = session(bytes, with_providers({"second", "cpu"}, more));
  return s ? s->placement().nodes : std::vector<PlacedNode>();
}

const std::string chain = "{ a = Exp(x) b = Neg(a) c = Exp(b) y = Neg(c) }";

// Runs with profiling on one provider and keeps what was learned. Each node took node_ns, whatever the clock said: how fast a
// machine under load is today must not decide what a test sees.
void learn(const std::string& bytes, const std::string& provider, const std::string& more, Dims dims, std::vector<LearnedLine>& lines, std::uint64_t node_ns = 0) {
  auto s = session(bytes, with_providers({provider}, more));
  ASSERT_TRUE(s);
  const std::vector<float> x(static_cast<std::size_t>(element_count(dims).value()), 0.5f);
  Profile profile;
  RunOptions options;
  options.profile = &profile;
  for (int i = 0; i < 5; ++i) {
    std::vector<NamedDatum> out;
    const Status ran = s->run(std::vector<NamedDatum>{{"x", tensor<float>(dims, x)}}, {}, out, options);
    ASSERT_TRUE(ran.ok()) << ran.text();
  }
  for (ProfileEvent& e : profile.events)
    if (node_ns > 0) e.duration_ns = node_ns * e.nodes.size();
  const Status kept = s->learn(profile, true, lines);
  ASSERT_TRUE(kept.ok()) << kept.text();
}

// Says 50 ns whatever the size, and takes a hundred times as long as the other.
TEST_F(Costs, AProviderThatPromisesTooMuchLosesItsNodesOnceMeasured) {
  const std::string bytes = graph_bytes("g (float[64,2048] x) => (float[64,2048] y) " + chain);
  for (const PlacedNode& n : nodes_of(bytes, key())) {
    EXPECT_EQ(n.provider, "second") << n.op_type;
    EXPECT_FALSE(n.measured);
  }
  std::vector<LearnedLine> lines;
  learn(bytes, "second", key(), {64, 2048}, lines, 2'000'000);
  ASSERT_EQ(lines.size(), 2u) << "nodes that compute the same are one cost";
  for (const LearnedLine& l : lines) {
    EXPECT_EQ(l.provider, "second");
    EXPECT_EQ(l.ns, 2'000'000) << l.operators;
    EXPECT_EQ(l.samples, 5u);
  }
  learn(bytes, "cpu", key(), {64, 2048}, lines, 20'000);
  for (const PlacedNode& n : nodes_of(bytes, key())) {
    EXPECT_EQ(n.provider, "cpu") << n.op_type;
    EXPECT_TRUE(n.measured);
    for (const Offer& o : n.offers) EXPECT_TRUE(o.measured);
  }
  // Half the size was never measured, but its family was: the promise of 50 ns is not believed any more.
  for (const PlacedNode& n : nodes_of(graph_bytes("g (float[64,1024] x) => (float[64,1024] y) " + chain), key())) {
    EXPECT_EQ(n.provider, "cpu") << n.op_type;
    for (const Offer& o : n.offers) {
      EXPECT_EQ(o.cost_from, "measured nearby");
      EXPECT_GT(o.cost_ns, 1000);
    }
  }
  // Other sizes are other computations, and other names are not.
  for (const PlacedNode& n : nodes_of(graph_bytes("g (float[64,1024] x) => (float[64,1024] y) " + chain), key())) EXPECT_FALSE(n.measured);
  for (const PlacedNode& n : nodes_of(graph_bytes("other (float[64,2048] x) => (float[64,2048] y) { first = Exp(x) y = Neg(first) }"), key())) EXPECT_TRUE(n.measured);
  // No folder: as if nothing had been learned.
  for (const PlacedNode& n : nodes_of(bytes, "\"placement\":{\"costs\":\"\"}")) EXPECT_EQ(n.provider, "second");
}

TEST_F(Costs, ForgettingBringsEstimatesBack) {
  const std::string bytes = graph_bytes("g (float[4,8] x) => (float[4,8] y) " + chain);
  std::vector<LearnedLine> lines;
  learn(bytes, "second", key(), {4, 8}, lines);
  auto s = session(bytes, with_providers({"second", "cpu"}, key()));
  ASSERT_TRUE(s);
  EXPECT_EQ(s->placement().devices[0].measured, 4u);
  const Result<std::uint64_t> count = s->forget_costs();
  ASSERT_TRUE(count.ok());
  EXPECT_EQ(*count, 2u);
  EXPECT_EQ(*s->forget_costs(), 0u);
  for (const PlacedNode& n : nodes_of(bytes, key())) EXPECT_FALSE(n.measured);
}

TEST_F(Costs, AFolderThatOthersMayWriteToHasNoSay) {
  const std::string bytes = graph_bytes("g (float[4,8] x) => (float[4,8] y) " + chain);
  std::vector<LearnedLine> lines;
  learn(bytes, "second", key(), {4, 8}, lines);
  ::chmod(folder_.c_str(), 0777);
  auto s = session(bytes, with_providers({"second", "cpu"}, key()));
  ASSERT_TRUE(s);
  for (const PlacedNode& n : s->placement().nodes) EXPECT_FALSE(n.measured);
  EXPECT_THAT(s->placement().notes, ::testing::Contains(HasSubstr("others may write to it")));
  Profile nothing;
  std::vector<LearnedLine> none_learned;
  EXPECT_TRUE(s->learn(nothing, false, none_learned).ok());
  EXPECT_EQ(s->learn(nothing, true, none_learned).code(), TENON_PERMISSION_DENIED);
}

TEST_F(Costs, ADamagedFileIsLeftOut) {
  const std::string bytes = graph_bytes("g (float[4,8] x) => (float[4,8] y) " + chain);
  std::vector<LearnedLine> lines;
  learn(bytes, "second", key(), {4, 8}, lines);
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    fs::resize_file(entry.path(), fs::file_size(entry.path()) - 3);
    ++files;
  }
  EXPECT_EQ(files, 1);
  for (const PlacedNode& n : nodes_of(bytes, key())) EXPECT_FALSE(n.measured);
}

TEST_F(Costs, NothingIsWrittenByASessionThatOnlyRuns) {
  auto s = session(graph_bytes("g (float[4] x) => (float[4] y) { y = Exp(x) }"), with_providers({"cpu"}, key()));
  ASSERT_TRUE(s);
  (void)run(*s, {{"x", tensor<float>({4}, {1, 2, 3, 4})}});
  EXPECT_FALSE(fs::exists(folder_));
}

}  // namespace
}  // namespace tenon
