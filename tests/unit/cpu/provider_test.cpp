// The provider as a host sees it: entry, device, query, and what it tells of constants.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/cpu/plan.h"
#include "plugins/cpu/program.h"
#include "plugins/cpu/query.h"
#include "tests/unit/cpu/fake_host.h"
#include "tests/unit/cpu/op_harness.h"

namespace tenon::cpu::test {
namespace {

tenon_query_args asks(std::uint32_t major, char (&reason)[256]) {
  tenon_query_args args{};
  args.struct_size = sizeof args;
  args.abi_major = major;
  args.minor_max = TENON_ABI_MINOR;
  args.error = reason;
  args.error_capacity = sizeof reason;
  return args;
}

struct Opened {
  Opened() {
    char reason[256] = {};
    const tenon_query_args args = asks(TENON_ABI_MAJOR, reason);
    api = tenon_provider_query(&args)->api;
    EXPECT_EQ(api->create(&fake_host(), nullptr, nullptr, &provider), nullptr);
    EXPECT_EQ(api->device_open(provider, 0, &device), nullptr);
  }
  ~Opened() {
    api->device_close(device);
    api->destroy(provider);
  }
  const tenon_provider_api* api;
  tenon_provider* provider = nullptr;
  tenon_device* device = nullptr;
};

TEST(Provider, SpeaksItsAbiOnly) {
  char reason[256] = {};
  tenon_query_args args = asks(TENON_ABI_MAJOR, reason);
  const tenon_provider_desc* desc = tenon_provider_query(&args);
  ASSERT_NE(desc, nullptr);
  EXPECT_EQ(view(desc->id), "cpu");
  EXPECT_EQ(desc->header_hash, TENON_ABI_HEADER_HASH);
  args = asks(TENON_ABI_MAJOR + 1, reason);
  EXPECT_EQ(tenon_provider_query(&args), nullptr);
  EXPECT_NE(reason[0], 0);
}

TEST(Provider, HasOneDevice) {
  Opened p;
  tenon_span devices{};
  ASSERT_EQ(p.api->enumerate(p.provider, &devices), nullptr);
  ASSERT_EQ(devices.count, 1u);
  const auto& info = element<tenon_device_info>(devices, 0);
  EXPECT_EQ(view(element<tenon_domain>(info.domains, 0).uid), "host");
  EXPECT_GT(info.flops_per_ns, 0);
  tenon_device* none = nullptr;
  tenon_status* s = p.api->device_open(p.provider, 1, &none);
  ASSERT_NE(s, nullptr);
  EXPECT_EQ(s->code, TENON_OUT_OF_RANGE);
  EXPECT_EQ(none, nullptr);
  delete s;
  char text[4];
  std::uint64_t length = 0;
  ASSERT_EQ(p.api->fingerprint(p.device, text, sizeof text, &length), nullptr);
  EXPECT_GT(length, sizeof text);  // says how much there is, writes what fits
  EXPECT_EQ(std::string_view(text, 4), "cpu ");
}

TEST(Query, AnswersEveryNode) {
  OpTest t({});
  t.input("x", tensor<float>({4}, {1, 2, 3, 4}));
  t.input("h", tensor<std::uint16_t>({4}, {0, 0, 0, 0}, TENON_DTYPE_FLOAT16));
  for (const char* v : {"a", "b"}) t.value(v, TENON_DTYPE_FLOAT, {4});
  t.value("n", TENON_DTYPE_INT64, {1, -1});
  t.value("untyped", 0, {4});
  t.node("Relu", {"x"}, {"a"});
  t.node("NoSuchOperator", {"x"}, {"b"});
  t.node("NonZero", {"h"}, {"n"});
  t.node("Relu", {"x"}, {"untyped"});
  tenon_query_sink sink;
  tenon_query query{};
  query.struct_size = sizeof query;
  query.graph = &t.graph();
  answer_query({&fake_host(), nullptr}, query, &sink);
  ASSERT_EQ(sink.claims.size(), 2u);
  EXPECT_EQ(sink.claims[0].token, 0u);
  EXPECT_EQ(sink.claims[0].est_bytes, 32);
  EXPECT_EQ(sink.claims[1].token, 2u);
  EXPECT_EQ(sink.claims[1].flags & TENON_CLAIM_DATA_DEPENDENT_SHAPE, TENON_CLAIM_DATA_DEPENDENT_SHAPE);
  ASSERT_EQ(sink.refusals.size(), 2u);
  EXPECT_EQ(sink.refusals[1].first, TENON_REJECT_OP);
  EXPECT_EQ(sink.refusals[3].first, TENON_REJECT_DTYPE);
  for (auto& [node, why] : sink.refusals) EXPECT_FALSE(why.second.empty());
}

// Packs its second input, and reads the third directly.
class PacksOne final : public Op {
 public:
  PacksOne(const NodeView& node, CompileContext& context) {
    for (int again = 0; again < 2; ++again)
      packed_ = static_cast<const float*>(context.packed(node, 1, "negated", 16, [&](const tenon_const_tensor& from, void* to) {
        ++fills;
        for (int i = 0; i < 4; ++i) static_cast<float*>(to)[i] = -static_cast<const float*>(from.data)[i];
      }));
  }
  void plan(PlanBuilder&) const override {}
  static inline int fills = 0;

 private:
  const float* packed_;
};
const OpRow* packing_row(std::string_view, std::string_view) {
  static const OpRow row{"", "Packs", [](const NodeView&) { return Support::yes(); },
                         [](const NodeView& n, CompileContext& c) -> std::unique_ptr<Op> { return std::make_unique<PacksOne>(n, c); }};
  return &row;
}

TEST(Packing, IsSharedAndGivesBackWhatNobodyElseReads) {
  PacksOne::fills = 0;
  OpTest t({});
  t.input("x", tensor<float>({4}, {1, 2, 3, 4}));
  for (const char* c : {"only_packed", "read", "read_elsewhere"}) t.constant(c, tensor<float>({4}, {1, 2, 3, 4}));
  for (const char* v : {"a", "b", "c"}) t.value(v, TENON_DTYPE_FLOAT, {4});
  t.node("Packs", {"x", "only_packed", "read"}, {"a"});
  t.node("Packs", {"a", "read_elsewhere"}, {"b"});
  t.node("Packs", {"b", "only_packed", "read_elsewhere"}, {"c"});  // not in the part
  const std::uint32_t in[] = {t.index("x")}, out[] = {t.index("b")}, nodes[] = {0, 1};
  const tenon_graph& graph = t.graph();
  const tenon_chosen chosen[] = {{sizeof(tenon_chosen), 1, nodes, 0}, {sizeof(tenon_chosen), 1, nodes + 1, 1}};
  tenon_part part{sizeof(part), 0, &graph, {chosen, 2, sizeof(tenon_chosen), 0}, in, out, 1, 1};
  tenon_task load;
  load.constant = [&](std::uint64_t id) { return t.constant_bytes(id); };
  const auto program = Program::compile({&fake_host(), nullptr}, {}, part, &load, packing_row);
  EXPECT_EQ(PacksOne::fills, 2);
  EXPECT_TRUE(load.released.empty());  // node 2 reads both packed ones
  // Without node 2 only "read" stays: nobody packed it.
  const std::uint32_t all_nodes[] = {0, 1, 2}, all_out[] = {t.index("c")};
  const tenon_chosen all[] = {{sizeof(tenon_chosen), 3, all_nodes, 0}};
  part.claims = {all, 1, sizeof(tenon_chosen), 0};
  part.outputs = all_out;
  const auto whole = Program::compile({&fake_host(), nullptr}, {}, part, &load, packing_row);
  EXPECT_THAT(load.released, testing::ElementsAre(t.index("only_packed") + 1));
}

// Compiles the nodes of a test as one part from x to y and plans it. A constant that was given back would come into memory again
// beside its packed form if plans asked for it.
void expect_given_back(OpTest& t, const std::vector<std::string>& weights) {
  const tenon_graph& graph = t.graph();
  const std::uint32_t in[] = {t.index("x")}, out[] = {t.index("y")};
  std::vector<std::uint32_t> nodes(graph.nodes.count);
  for (std::uint32_t n = 0; n < nodes.size(); ++n) nodes[n] = n;
  const tenon_chosen chosen[] = {{sizeof(tenon_chosen), static_cast<std::uint32_t>(nodes.size()), nodes.data(), 0}};
  const tenon_part part{sizeof(part), 0, &graph, {chosen, 1, sizeof(tenon_chosen), 0}, in, out, 1, 1};
  std::vector<std::uint64_t> asked;
  tenon_task load;
  load.constant = [&](std::uint64_t id) {
    asked.push_back(id);
    return t.constant_bytes(id);
  };
  std::vector<std::vector<std::int64_t>> dims;
  std::vector<tenon_plan_value> values;
  for (std::uint32_t v = 0; v < graph.values.count; ++v) dims.push_back(t.actual_dims(v));
  for (std::uint32_t v = 0; v < graph.values.count; ++v)
    values.push_back({sizeof(tenon_plan_value), static_cast<std::int32_t>(dims[v].size()), element<tenon_value>(graph.values, v).dtype, 0,
                      dims[v].data(), dims[v].data(), nullptr, nullptr});
  for (Isa isa : {Isa::avx2, Isa::avx512}) {
    if (detect_isa() < isa) continue;
    load.released.clear();
    const auto program = Program::compile({&fake_host(), nullptr}, {.isa = isa}, part, &load);
    asked.clear();
    tenon_plan_sink sink;
    const tenon_plan_args args{sizeof(args), 1, {values.data(), values.size(), sizeof(tenon_plan_value), 0}, {}, &load};
    const auto plan = Plan::make(*program, args, &sink);
    EXPECT_FALSE(sink.steps.empty());
    for (const std::string& w : weights) {
      const std::uint64_t id = t.index(w) + 1;
      EXPECT_THAT(load.released, testing::Contains(id)) << w;
      EXPECT_THAT(asked, testing::Not(testing::Contains(id))) << w;
    }
  }
}

TEST(Packing, PlansAskForNoWeightsThatWerePacked) {
  OpTest t({});
  t.input("x", random_tensor({1, 16, 8, 8}));
  t.constant("w", random_tensor({16, 16, 3, 3}));
  t.value("product", TENON_DTYPE_FLOAT, {1, 16, 6, 6});
  t.value("y", TENON_DTYPE_FLOAT, {1, 16, 6, 6});
  t.node("Conv", {"x", "w"}, {"product"});
  t.node("Relu", {"product"}, {"y"});
  expect_given_back(t, {"w"});
}
TEST(Packing, RecurrentWeightsAreInMemoryOnce) {
  constexpr std::int64_t hidden = 112;  // enough for compact weights
  OpTest t({});
  t.input("x", random_tensor({3, 1, 8}));
  t.constant("w", random_tensor({1, 4 * hidden, 8}));
  t.constant("r", random_tensor({1, 4 * hidden, hidden}));
  t.value("y", TENON_DTYPE_FLOAT, {3, 1, 1, hidden});
  t.node("LSTM", {"x", "w", "r"}, {"y"}, {{"hidden_size", hidden}});
  expect_given_back(t, {"w", "r"});
}

}  // namespace
}  // namespace tenon::cpu::test
