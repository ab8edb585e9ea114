// Providers in processes of their own: the same bits as in this one, and whatever ends those processes is an error of a run.
#include <gmock/gmock.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <thread>

#include <unistd.h>

#include "core/base/log.h"
#include "core/provider/isolate/remote.h"
#include "core/run/report.h"
#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

// A provider alone with what it lacks left to the cpu of this process, isolated or not.
Config only(const std::string& id, bool isolated, const std::string& entry = "", const std::string& more = "") {
  const std::string path = id == "cpu" ? "" : std::string(",\"provider_paths\":[\"") + TENON_BINARY_DIR + "/test_providers/" + id + "\"]";
  return config("{\"providers\":[{\"use\":\"" + id + "\"" + (isolated ? ",\"isolate\":\"process\"" : "") + (entry.empty() ? "" : "," + entry) + "}]" + path +
                (more.empty() ? "" : "," + more) + "}");
}

// Processes of isolated providers that this process has, and its open files.
std::vector<pid_t> children() {
  std::vector<pid_t> out;
  for (const auto& task : fs::directory_iterator("/proc/self/task")) {
    std::ifstream list(task.path() / "children");
    for (pid_t pid; list >> pid;) {
      std::ifstream name("/proc/" + std::to_string(pid) + "/comm");
      std::string comm;
      std::getline(name, comm);
      if (comm.starts_with("tenon_provider")) out.push_back(pid);
    }
  }
  return out;
}
// Returns when they have ended, with all their threads: only then their sockets are closed.
void kill_children() {
  for (const pid_t pid : children()) {
    ::kill(pid, SIGKILL);
    for (char state = 0; state != 'Z';) {
      std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
      std::string line;
      if (!std::getline(stat, line)) break;
      std::error_code code;
      const auto threads = std::distance(fs::directory_iterator("/proc/" + std::to_string(pid) + "/task", code), fs::directory_iterator());
      state = threads > 1 ? 0 : line[line.rfind(')') + 2];
    }
  }
}
std::size_t open_files() { return static_cast<std::size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator())); }

Datum ramp(Dims dims, float scale = 0.125f) {
  std::vector<float> values(static_cast<std::size_t>(*element_count(dims).get("a ramp")));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = scale * static_cast<float>(static_cast<int>(i * 37 % 101) - 50);
  return tensor<float>(std::move(dims), values);
}

void expect_same(const std::vector<NamedDatum>& a, const std::vector<NamedDatum>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Datum &x = a[i].datum, &y = b[i].datum;
    EXPECT_EQ(x.dims, y.dims);
    ASSERT_EQ(x.strings != nullptr, y.strings != nullptr);
    if (x.strings) EXPECT_EQ(*x.strings, *y.strings);
    else EXPECT_EQ(std::memcmp(x.data, y.data, static_cast<std::size_t>(dtype_bytes(x.dtype, element_count(x.dims)).value())), 0) << a[i].name;
  }
}

// ---- the same bits --------------------------------------------------------------------------------------------------------

struct Model {
  const char* name;
  const char* text;
  std::vector<std::vector<NamedDatum>> runs;
};

std::vector<Model> models() {
  const auto strings = [](std::vector<std::string> all) {
    Datum d = *Datum::tensor(TENON_DTYPE_STRING, {static_cast<std::int64_t>(all.size())});
    *d.strings = std::move(all);
    return d;
  };
  std::vector<Model> out;
  out.push_back({"convolutions",
                 R"(g (float[N,3,H,W] x) => (float[N,8,H,W] y, float[N,8,1,1] p) {
                      s1 = Constant<value_ints=[8,3,3,3]>() r1 = Constant<value_float=0.25>() k1 = Expand(r1, s1)
                      s2 = Constant<value_ints=[8,8,1,1]>() r2 = Constant<value_float=-0.5>() k2 = Expand(r2, s2)
                      a = Conv<pads=[1,1,1,1]>(x, k1) b = Relu(a) c = Conv(b, k2) d = Sigmoid(c) y = Mul(c, d) p = GlobalAveragePool(y) })",
                 {{{"x", ramp({1, 3, 16, 16})}}, {{"x", ramp({2, 3, 9, 20})}}, {{"x", ramp({1, 3, 16, 16}, 0.5f)}}}});
  out.push_back({"products", R"(g (float[M,K] a, float[K,N] b) => (float[M,N] y, float[M,N] s) { m = MatMul(a, b) y = Gelu(m) s = Softmax(m) })",
                 {{{"a", ramp({33, 70})}, {"b", ramp({70, 41})}}, {{"a", ramp({1, 70})}, {"b", ramp({70, 200})}}}});
  out.push_back({"data_decide", R"(g (float[N] x) => (int64[1,C] where, float[C] kept, float[C] rest)
                    { where = NonZero(x) t = Transpose(where) kept0 = GatherND(x, t) kept = Relu(kept0) rest = Neg(kept0) })",
                 {{{"x", tensor<float>({5}, {0, 1, 0, -2, 3})}}, {{"x", tensor<float>({3}, {0, 0, 0})}}, {{"x", ramp({300})}}}});
  out.push_back({"texts", R"(g (string[N] a, string[N] b) => (string[N] y, string[K] u) { y = StringConcat(a, b) u, i, j, k = Unique(y) })",
                 {{{"a", strings({"one", "", "one"})}, {"b", strings({"1", "2", "1"})}}, {{"a", strings({})}, {"b", strings({})}}}});
  out.push_back({"bodies", R"(g (float[N] x, int64 n) => (float[N] y) {
                    yes = Constant<value = bool {1}>()
                    y = Loop(n, yes, x) <body = body (int64 i, bool c, float[N] v) => (bool d, float[N] w) { d = Identity(c) s = Sin(v) w = Add(s, v) }>
                 })",
                 {{{"x", ramp({6})}, {"n", tensor<std::int64_t>({}, {4})}}, {{"x", ramp({2})}, {"n", tensor<std::int64_t>({}, {0})}}}});
  return out;
}

class SameBits : public ::testing::TestWithParam<std::size_t> {};

TEST_P(SameBits, AsInThisProcess) {
  const Model m = models()[GetParam()];
  const std::string bytes = graph_bytes(m.text, 20);
  for (const char* threads : {"1", "2"}) {
    const std::string more = std::string("\"session\":{\"threads\":") + threads + "}";
    auto here = session(bytes, only("cpu", false, "", more)), there = session(bytes, only("cpu", true, "", more));
    ASSERT_TRUE(here && there);
    EXPECT_THAT(there->placement().devices[0].name, HasSubstr("(isolated)"));
    for (int again = 0; again < 2; ++again)
      for (const auto& feeds : m.runs) expect_same(run(*there, feeds), run(*here, feeds));
    // And step by step.
    Profile profile;
    RunOptions options;
    options.profile = &profile;
    std::vector<NamedDatum> out;
    const Status status = there->run(m.runs[0], {}, out, options);
    EXPECT_TRUE(status.ok()) << status.text();
    expect_same(out, run(*here, m.runs[0]));
  }
}

INSTANTIATE_TEST_SUITE_P(Isolated, SameBits, ::testing::Range<std::size_t>(0, 5), [](const auto& info) { return std::string(models()[info.param].name); });

// A cache that grows from run to run: one plan for a range of sizes, set to each of them there.
TEST(Isolated, SizesThatGrow) {
  const std::string bytes = graph_bytes("g (float[P,4] past, float[1,4] new) => (float[T,4] present, float[T,T] s) { present = Concat<axis=0>(past, new) "
                                        "t = Transpose(present) s = MatMul(present, t) }");
  auto here = session(bytes, only("cpu", false)), there = session(bytes, only("cpu", true));
  ASSERT_TRUE(here && there);
  for (std::int64_t n = 3; n < 40; ++n) {
    const std::vector<NamedDatum> feeds{{"past", ramp({n, 4})}, {"new", ramp({1, 4})}};
    expect_same(run(*there, feeds), run(*here, feeds));
  }
  EXPECT_EQ(there->plans_made(), here->plans_made());
}

// Memory that the host cannot read, queues that work late, operators of its own.
TEST(Isolated, OtherKindsOfProviders) {
  const std::string model = graph_bytes("g (float[N] x, float[N] z) => (float[N] y) { a = Add(x, z) b = Relu(a) c = Sin(b) d = Mul(c, z) y = Relu(d) }");
  for (const char* id : {"second", "async"}) {
    auto there = session(model, only(id, true)), here = session(model, only(id, false));
    ASSERT_TRUE(there && here);
    EXPECT_FALSE(there->placement().parts.empty());
    for (std::int64_t n : {5, 700, 5}) {
      const std::vector<NamedDatum> feeds{{"x", ramp({n})}, {"z", ramp({n}, 0.5f)}};
      expect_same(run(*there, feeds), run(*here, feeds));
    }
  }
  const std::string own = graph_bytes("g (float[R,C] x) => (float[R] lo, float[R] hi) { a = test.acme.Affine<scale = 2.0, offset = 1.0>(x) lo, hi = test.acme.MinMax(a) }");
  auto custom = session(own, only("custom", true));
  ASSERT_TRUE(custom);
  const auto out = run(*custom, {{"x", tensor<float>({2, 2}, {1, 4, -3, 2})}});
  EXPECT_EQ(values<float>(out[0].datum), (std::vector<float>{3, -5}));
  EXPECT_EQ(values<float>(out[1].datum), (std::vector<float>{9, 5}));
}

// ---- ends --------------------------------------------------------------------------------------------------------------------

constexpr const char* two_steps = "g (float[N] x) => (float[N] y) { one = Constant<value_float=1.0>() a = Relu(x) y = Add(a, one) }";
constexpr const char* alone = R"("placement":{"on_unsupported":"error"})";

std::vector<NamedDatum> fed(float first) { return {{"x", tensor<float>({3}, {first, -1, 2})}}; }
void serves(const Session& s) {
  const auto out = run(s, fed(4));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(values<float>(out[0].datum), (std::vector<float>{5, 1, 3}));
}

TEST(IsolatedEnds, WhileItIsAskedOfAModel) {
  struct {
    const char *where, *text, *during;
  } const cases[] = {{"create", "SIGSEGV", "load of"}, {"query", "SIGILL", "query of"}, {"compile", "SIGABRT", "compile of"}, {"query_hangs", "no sign of life for 1.0 s", "query of"}};
  for (const auto& c : cases) {
    const bool hangs = std::string_view(c.where) == "query_hangs";
    const std::string entry = std::string(R"("options":{"die":")") + c.where + "\"}" + (hangs ? R"(,"isolate_limit":"1s")" : "");
    const std::string bytes = graph_bytes(two_steps);
    EXPECT_THAT(load_failure(bytes, only("mortal", true, entry, alone)), AllOf(HasSubstr("mortal"), HasSubstr(c.text), HasSubstr(c.during)));
    EXPECT_TRUE(children().empty()) << c.where;
    // Others serve, and so does it with other options.
    auto good = session(bytes, only("mortal", true));
    ASSERT_TRUE(good);
    serves(*good);
  }
}

// What no process survives is no reason for a quarantine: it was never loaded here.
TEST(IsolatedEnds, WhileItsLibraryIsLoaded) {
  for (const std::string way : {"constructor_aborts", "constructor_crashes", "constructor_exits", "constructor_hangs", "entry_crashes", "throw_in_create", "wrong_major"}) {
    const Config c = config(R"({"providers":[{"use":"hostile","isolate":"process")" + std::string(way == "constructor_hangs" ? R"(,"isolate_limit":"1s")" : "") +
                            R"(}],"provider_paths":[")" + TENON_BINARY_DIR + "/test_providers/" + way + "\"]," + alone + "}");
    const std::string text = load_failure(graph_bytes(two_steps), c);
    EXPECT_THAT(text, AllOf(HasSubstr("provider hostile (isolated)"), AnyOf(HasSubstr("its process"), HasSubstr("boom in create"), HasSubstr("made for ABI 2.0")))) << way;
    EXPECT_TRUE(children().empty()) << way;
  }
}

TEST(IsolatedEnds, ARunEndsWithTheReasonAndTheNextOneServes) {
  auto s = session(graph_bytes(two_steps), only("mortal", true, R"("isolate_limit":"1500ms")", alone));
  ASSERT_TRUE(s);
  serves(*s);
  struct {
    float first;
    const char* text;
  } const cases[] = {{666, "SIGSEGV"}, {667, "no sign of life for 1.5 s (isolate_limit)"}, {668, "exited with 3"}};
  for (const auto& c : cases) {
    EXPECT_THAT(run_failure(*s, fed(c.first)), AllOf(HasSubstr("provider mortal"), HasSubstr(c.text), HasSubstr("step 0 \"Relu\""), HasSubstr("device \"")));
    const auto begin = std::chrono::steady_clock::now();
    serves(*s);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  }
}

TEST(IsolatedEnds, AHundredTimesInALoop) {
  auto s = session(graph_bytes(two_steps), only("mortal", true, "", alone));
  ASSERT_TRUE(s);
  int failed = 0;
  for (int i = 0; i < 100; ++i) {
    // By its own doing, between two runs, and in the middle of one.
    std::thread killer;
    if (i % 3 == 1) kill_children();
    if (i % 3 == 2) killer = std::thread([i] {
        std::this_thread::sleep_for(std::chrono::microseconds(i * 7 % 60));
        kill_children();
      });
    std::vector<NamedDatum> out;
    const Status status = s->run(fed(i % 3 == 0 ? 666 : 4), {}, out);
    if (killer.joinable()) killer.join();
    failed += !status.ok();
    if (status.ok()) EXPECT_EQ(values<float>(out[0].datum), (std::vector<float>{5, 1, 3}));
    else EXPECT_THAT(std::string(status.text()), AllOf(HasSubstr("its process"), HasSubstr("SIG")));
    serves(*s);
  }
  EXPECT_GE(failed, 34);
}

// In memory of the device's own, what a run has put there is gone: that run is an error, never a wrong answer.
TEST(IsolatedEnds, WithMemoryOfItsOwn) {
  const std::string model = graph_bytes("g (float[N] x) => (float[N] y, float[N] z) { one = Constant<value_float=1.0>() s = Shape(x) k = Expand(one, s) a = Relu(x) b = Add(a, k) "
                                        "c = Sin(b) y = Mul(c, b) z = Add(c, k) }");
  auto s = session(model, only("second", true));
  auto right = session(model, only("second", false));
  ASSERT_TRUE(s && right);
  const auto expected = run(*right, fed(4));
  for (int i = 0; i < 30; ++i) {
    std::thread killer([i] {
      std::this_thread::sleep_for(std::chrono::microseconds(i * 20));
      kill_children();
    });
    std::vector<NamedDatum> out;
    const Status status = s->run(fed(4), {}, out);
    killer.join();
    if (status.ok()) expect_same(out, expected);
    else EXPECT_THAT(std::string(status.text()), HasSubstr("its process"));
    expect_same(run(*s, fed(4)), expected);
  }
}

TEST(IsolatedEnds, TooManyInARowAreTheEnd) {
  auto s = session(graph_bytes(two_steps), only("mortal", true, "", alone));
  ASSERT_TRUE(s);
  serves(*s);
  // A run that goes well in between makes them none.
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 4; ++i) EXPECT_THAT(run_failure(*s, fed(666)), HasSubstr("SIGSEGV"));
    serves(*s);
  }
  Status status;
  for (int i = 0; i < 7; ++i) {
    std::vector<NamedDatum> out;
    status = s->run(fed(666), {}, out);
  }
  EXPECT_EQ(status.code(), TENON_DEVICE_LOST) << status.text();
  // Once nobody uses it any more it is a new one.
  s.reset();
  s = session(graph_bytes(two_steps), only("mortal", true, "", alone));
  ASSERT_TRUE(s);
  serves(*s);
}

TEST(IsolatedEnds, LeavesNothingBehind) {
  const std::string bytes = graph_bytes(two_steps);
  std::size_t files = 0;
  for (int i = 0; i < 4; ++i) {
    {
      auto s = session(bytes, only("mortal", true, "", alone));
      ASSERT_TRUE(s);
      EXPECT_EQ(children().size(), 1u);
      (void)run_failure(*s, fed(666));
      serves(*s);
    }
    EXPECT_TRUE(children().empty());
    if (i == 0) files = open_files();
    else EXPECT_EQ(open_files(), files);
  }
}

TEST(Isolated, RunsAtOnceHaveChannelsOfTheirOwn) {
  auto s = session(graph_bytes(two_steps), only("mortal", true, "", alone));
  ASSERT_TRUE(s);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const auto first = static_cast<float>(t * 100 + i);
        std::vector<NamedDatum> out;
        if (!s->run(fed(first), {}, out).ok() || values<float>(out[0].datum)[0] != first + 1) ++wrong;
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Isolated, ItsLogIsOurs) {
  std::vector<std::string> lines;
  log_set_sink([&](std::int32_t, std::string_view topic, std::string_view text) { lines.push_back(std::string(topic) + ": " + std::string(text)); });
  auto s = session(graph_bytes(two_steps), only("mortal", true, "", alone));
  if (s) (void)run(*s, fed(669));
  log_set_sink({});
  EXPECT_THAT(lines, ::testing::Contains("mortal: a line from elsewhere"));
}

// ---- what crosses ------------------------------------------------------------------------------------------------------------

TEST(IsolatedWire, OperandsThatOverlapHereOverlapThere) {
  std::vector<char> arena(4096 * 3), alone_one(100);
  const auto at = [](std::vector<char>& v, std::uint64_t offset, std::uint64_t bytes) { return tenon_address{v.data(), offset, bytes}; };
  const std::vector<tenon_address> addresses{at(arena, 64, 100), at(alone_one, 0, 100), at(arena, 128, 1000), {nullptr, 0, 0}, at(arena, 5000, 10)};
  std::vector<std::uint64_t> sizes{100, 100, 1000, 0, 10}, offsets;
  const std::uint64_t total = isolate::mirror(addresses, sizes, 2, offsets);
  EXPECT_EQ(offsets[2] - offsets[0], 64u);
  for (const std::size_t o : {1u, 4u})
    for (const std::size_t other : {0u, 2u}) EXPECT_TRUE(offsets[o] + sizes[o] <= offsets[other] || offsets[other] + sizes[other] <= offsets[o]);
  for (std::size_t o = 0; o < sizes.size(); ++o) EXPECT_LE(offsets[o] + sizes[o], total);
  EXPECT_EQ(offsets[1] % 64, 0u);
}

// Whatever comes from a process that is not itself any more is read within its bytes.
TEST(IsolatedWire, WhatIsCutOrChangedIsRefusedOrHarmless) {
  isolate::PlanCollector plan;
  tenon_temp temp{sizeof(tenon_temp), 0, 64, 64, 0};
  plan.temp(temp);
  const std::uint32_t reads[] = {0, 1}, writes[] = {2};
  tenon_step step{};
  step.struct_size = sizeof step, step.name = str("Relu"), step.reads = reads, step.read_count = 2, step.writes = writes, step.write_count = 1;
  plan.step(step);
  isolate::Writer emitted, claims;
  isolate::write_emitted(emitted, plan.out);
  claims.put<std::uint64_t>(2);
  tenon_claim claim{};
  claim.struct_size = sizeof claim, claim.nodes = reads, claim.node_count = 2;
  isolate::write_claim(claims, claim);
  isolate::write_refusal(claims, 1, TENON_REJECT_OP, "no");
  struct Sink final : tenon_query_sink {
    std::size_t nodes = 0;
    void claim(const tenon_claim& c) override { nodes += c.node_count; }
    void reject(std::uint32_t, std::int32_t, std::string_view text) override { nodes += text.size(); }
  } sink;
  const auto try_all = [&](std::vector<std::byte> bytes) {
    isolate::Reader a(bytes), b(bytes), c(bytes), d(bytes);
    std::vector<isolate::Emitted> out;
    const bool plan_read = read_emitted(a, out), claims_read = read_claims(b, sink);
    isolate::GraphReader graph(c);
    const bool graph_read = graph.graph() != nullptr;
    isolate::Description description;
    const bool described = isolate::read_description(d, description);
    return std::array{plan_read, claims_read, graph_read, described};
  };
  for (const isolate::Writer* whole : {&emitted, &claims}) {
    const std::vector<std::byte> bytes(whole->bytes().begin(), whole->bytes().end());
    EXPECT_TRUE(try_all(bytes)[whole == &claims]);
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      EXPECT_FALSE(try_all({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n)})[whole == &claims]);
      for (const int flip : {1, 0x80, 0xff}) {
        std::vector<std::byte> changed = bytes;
        changed[n] ^= static_cast<std::byte>(flip);
        (void)try_all(changed);
      }
    }
  }
}

TEST(IsolatedWire, MemoryThatCouldBeCutOrChangedIsNotTaken) {
  auto made = isolate::SharedMemory::make(4096);
  ASSERT_TRUE(made.ok());
  EXPECT_NE(::ftruncate(made->fd(), 1), 0);
  EXPECT_FALSE(isolate::SharedMemory::map(isolate::Fd(::dup(made->fd())), 8192, false).ok());
  EXPECT_FALSE(isolate::SharedMemory::map(isolate::Fd(::dup(made->fd())), 4096, true).ok());
  EXPECT_TRUE(isolate::SharedMemory::map(isolate::Fd(::dup(made->fd())), 4096, false).ok());
  const std::byte one{1};
  auto frozen = isolate::SharedMemory::frozen({&one, 1});
  ASSERT_TRUE(frozen.ok());
  EXPECT_TRUE(isolate::SharedMemory::map(std::move(*frozen), 1, true).ok());
}

}  // namespace
}  // namespace tenon
