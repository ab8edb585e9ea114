// The corpus runner itself: what it takes for equal, what it reads, how it names what crashes.
#include <gmock/gmock.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <thread>

#include "corpus.h"
#include "exceptions.h"
#include "report.h"
#include "sdk/kit/compare.h"
#include "sdk/kit/elements.h"
#include "worker_pool.h"

namespace tenon::corpus {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;
namespace fs = std::filesystem;
using kit::difference;
using kit::element;
using kit::element_bits;
using kit::is_exact;

constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();

Value floats(std::vector<float> elements) {
  const Dims dims{static_cast<std::int64_t>(elements.size())};
  return Value(std::move(elements), dims);
}

Value raw(std::int32_t dtype, const Dims& dims, std::initializer_list<std::uint8_t> bytes) {
  Value v = Value::tensor(dtype, dims);
  EXPECT_EQ(v.size_bytes(), bytes.size());
  std::memcpy(tenon_datum_data(v.handle()), bytes.begin(), bytes.size());
  return v;
}

std::string apart(const Value& got, const Value& expected) { return difference(got, expected, {}); }

TEST(Compare, FloatsMayBeOffByTheTolerance) {
  EXPECT_THAT(apart(floats({1.0009f, 5e-8f}), floats({1, 0})), IsEmpty());
  EXPECT_THAT(apart(floats({1, 1.002f}), floats({1, 1})), HasSubstr("1 of 2 elements are off, at most by 0.002; the first at [1]"));
  EXPECT_THAT(apart(floats({2e-7f}), floats({0})), HasSubstr("1 of 1"));
  EXPECT_THAT(difference(floats({1.0021f}), floats({1}), {2e-3, 1e-7}), HasSubstr("1 of 1"));
  EXPECT_THAT(difference(floats({1.0019f}), floats({1}), {2e-3, 1e-7}), IsEmpty());
}

TEST(Compare, NanIsNanAndInfinitiesAreEqualOnlyToThemselves) {
  EXPECT_THAT(apart(floats({nan, inf, -inf}), floats({nan, inf, -inf})), IsEmpty());
  for (const auto& [got, expected] : {std::pair{nan, 0.f}, {0.f, nan}, {inf, -inf}, {1e38f, inf}, {inf, 1e38f}})
    EXPECT_THAT(apart(floats({got}), floats({expected})), HasSubstr("1 of 1")) << got << " " << expected;
}

TEST(Compare, TypeAndShapeAreExact) {
  EXPECT_THAT(apart(floats({1}), Value::scalar(1.f)), HasSubstr("float32[1] is not float32[]"));
  EXPECT_THAT(apart(Value::scalar(1.0), Value::scalar(1.f)), HasSubstr("float64[] is not float32[]"));
  EXPECT_THAT(apart(Value::tensor<float>({0, 2}), Value::tensor<float>({0, 2})), IsEmpty());
  EXPECT_THAT(apart(Value::tensor<float>({0, 2}), Value::tensor<float>({0, 3})), HasSubstr("is not"));
}

TEST(Compare, IntegersStringsAndPackedTypesAreExact) {
  EXPECT_THAT(apart(Value::scalar<std::int64_t>(1000001), Value::scalar<std::int64_t>(1000000)), HasSubstr("1000001, expected 1000000"));
  EXPECT_THAT(apart(Value::scalar<std::int64_t>((1ll << 60) + 1), Value::scalar<std::int64_t>(1ll << 60)), HasSubstr("1 of 1"));
  const std::vector<std::string> ab{"a", "b"}, ac{"a", "c"};
  EXPECT_THAT(apart(Value::strings(ab, {2}), Value::strings(ab, {2})), IsEmpty());
  EXPECT_THAT(apart(Value::strings(ab, {2}), Value::strings(ac, {2})), HasSubstr("at [1]: \"b\", expected \"c\""));
  // Three elements: the upper half of the second byte counts for nothing.
  EXPECT_THAT(apart(raw(TENON_DTYPE_INT4, {3}, {0xf1, 0x02}), raw(TENON_DTYPE_INT4, {3}, {0xf1, 0xf2})), IsEmpty());
  EXPECT_THAT(apart(raw(TENON_DTYPE_INT4, {3}, {0xf1, 0x02}), raw(TENON_DTYPE_INT4, {3}, {0xe1, 0x02})), HasSubstr("-1, expected -2"));
}

TEST(Compare, Bfloat16MayBeOffByTwoUnits) {
  EXPECT_THAT(apart(raw(TENON_DTYPE_BFLOAT16, {}, {0x82, 0x3f}), raw(TENON_DTYPE_BFLOAT16, {}, {0x80, 0x3f})), IsEmpty());
  EXPECT_THAT(apart(raw(TENON_DTYPE_BFLOAT16, {}, {0x83, 0x3f}), raw(TENON_DTYPE_BFLOAT16, {}, {0x80, 0x3f})), HasSubstr("1 of 1"));
}

TEST(Compare, SequencesMapsAndOptionalsGoItemByItem) {
  const std::vector<Value> one{floats({1})}, two{floats({1}), floats({2})}, other{floats({1}), floats({3})};
  EXPECT_THAT(apart(Value::sequence(two), Value::sequence(two)), IsEmpty());
  EXPECT_THAT(apart(Value::sequence(two), Value::sequence(one)), HasSubstr("a sequence of 2 is not a sequence of 1"));
  EXPECT_THAT(apart(Value::sequence(two), Value::sequence(other)), HasSubstr("item 1: "));
  EXPECT_THAT(apart(Value::optional(), Value::optional(one[0])), HasSubstr("without a value is not"));
  EXPECT_THAT(apart(Value::optional(one[0]), one[0]), HasSubstr("is not"));
  const std::vector<std::int64_t> keys{1, 2}, wrong{1, 3};
  EXPECT_THAT(apart(Value::map(keys, two), Value::map(keys, two)), IsEmpty());
  EXPECT_THAT(apart(Value::map(keys, two), Value::map(wrong, two)), HasSubstr("key 1"));
  EXPECT_THAT(apart(Value::map(keys, two), Value::map(keys, other)), HasSubstr("item 1: "));
}

TEST(Elements, SmallFloatsHaveTheValuesOfTheStandard) {
  struct Row {
    std::int32_t dtype;
    std::uint8_t bits;
    double value;
  };
  for (const Row& r : {Row{TENON_DTYPE_FLOAT8E4M3FN, 0x7e, 448}, {TENON_DTYPE_FLOAT8E4M3FN, 0x7f, nan},
                       {TENON_DTYPE_FLOAT8E4M3FN, 0x01, 0x1p-9}, {TENON_DTYPE_FLOAT8E4M3FNUZ, 0x7f, 240},
                       {TENON_DTYPE_FLOAT8E4M3FNUZ, 0x80, nan}, {TENON_DTYPE_FLOAT8E4M3FNUZ, 0x01, 0x1p-10},
                       {TENON_DTYPE_FLOAT8E5M2, 0xfb, -57344}, {TENON_DTYPE_FLOAT8E5M2, 0xfc, -inf},
                       {TENON_DTYPE_FLOAT8E5M2, 0x7d, nan}, {TENON_DTYPE_FLOAT8E5M2FNUZ, 0x7f, 57344},
                       {TENON_DTYPE_FLOAT8E5M2FNUZ, 0x80, nan}, {TENON_DTYPE_FLOAT4E2M1, 0x07, 6},
                       {TENON_DTYPE_FLOAT4E2M1, 0x09, -0.5}, {TENON_DTYPE_FLOAT6E2M3, 0x1f, 7.5},
                       {TENON_DTYPE_FLOAT6E3M2, 0x3f, -28}, {TENON_DTYPE_FLOAT8E8M0, 0x7f, 1},
                       {TENON_DTYPE_FLOAT8E8M0, 0x00, 0x1p-127}, {TENON_DTYPE_FLOAT8E8M0, 0xff, nan}})
    EXPECT_THAT(element(r.dtype, &r.bits, 0).real(), ::testing::NanSensitiveDoubleEq(r.value))
        << tenon_dtype_name(r.dtype) << " " << int{r.bits};
  const std::uint16_t halves[] = {0x3c01, 0x7bff, 0x0001, 0xfc00};
  EXPECT_EQ(element(TENON_DTYPE_FLOAT16, halves, 0).real(), 1 + 0x1p-10);
  EXPECT_EQ(element(TENON_DTYPE_FLOAT16, halves, 1).real(), 65504);
  EXPECT_EQ(element(TENON_DTYPE_FLOAT16, halves, 2).real(), 0x1p-24);
  EXPECT_EQ(element(TENON_DTYPE_FLOAT16, halves, 3).real(), -inf);
}

TEST(WorkerPool, NamesWhatCrashesHangsOrEndsAndGoesOn) {
  std::map<std::size_t, std::string> results;
  const auto job = [](std::size_t i) -> std::string {
    if (i == 1) std::raise(SIGKILL);
    if (i == 3) std::this_thread::sleep_for(std::chrono::minutes(5));
    if (i == 5) std::_Exit(3);
    return i % 2 ? "odd" : "";
  };
  const auto done = [&](std::size_t i, const std::string& text, double) { results[i] = text; };
  const std::string deaths = WorkerPool{2, std::chrono::seconds(1)}.run(8, job, done);
  EXPECT_THAT(deaths, IsEmpty());
  ASSERT_EQ(results.size(), 8u);
  EXPECT_THAT(results[0], IsEmpty());
  EXPECT_THAT(results[1], HasSubstr("died of signal 9"));
  EXPECT_EQ(results[3], "no end in 1 s");
  EXPECT_EQ(results[5], "the process ended with status 3");
  EXPECT_EQ(results[7], "odd");
}

TEST(WorkerPool, ReportsWorkersThatDieAfterTheirLastJob) {
  const auto job = [](std::size_t) -> std::string {
    std::atexit([] { std::_Exit(23); });
    return "";
  };
  const auto done = [](std::size_t, const std::string&, double) {};
  EXPECT_THAT((WorkerPool{1, std::chrono::seconds(10)}.run(1, job, done)), HasSubstr("status 23"));
}

TEST(Report, WantsFailuresNamedAndNamesFailing) {
  Report report({{"known", "no kernel yet"}, {"mended", "no kernel yet"}, {"dice", "random: as it falls"}});
  report.add("good", "", 0);
  report.add("dice", "", 0);
  report.add("dice", "another number", 0);
  report.add("known", "not implemented", 0);
  EXPECT_EQ(report.failed(), 0u);
  report.add("bad", "wrong", 0);
  report.add("mended", "", 0);
  EXPECT_EQ(report.passed(), 1u);
  EXPECT_EQ(report.skipped(), 3u);
  EXPECT_EQ(report.failed(), 2u);
}

class Files : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "corpus.XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder = name;
  }
  void TearDown() override { fs::remove_all(folder); }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((folder / name).parent_path());
    std::ofstream(folder / name) << text;
  }
  fs::path folder;
};

TEST_F(Files, ExceptionsNeedAReasonEach) {
  write("e", "# comment\n\na one\nsuite/b two words\n");
  EXPECT_THAT(read_exceptions(folder / "e"), ElementsAre(std::pair("a", "one"), std::pair("suite/b", "two words")));
  write("e", "a one\nb\n");
  EXPECT_THAT([&] { read_exceptions(folder / "e"); }, ThrowsMessage<std::runtime_error>(HasSubstr("e:2: \"b\" has no reason")));
  write("e", "a one\na two\n");
  EXPECT_THAT([&] { read_exceptions(folder / "e"); }, ThrowsMessage<std::runtime_error>(HasSubstr("e:2: a stands there twice")));
}

TEST_F(Files, ACorpusThatIsNotWholeIsRefused) {
  EXPECT_THAT([&] { read_corpus(folder); }, ThrowsMessage<std::runtime_error>(HasSubstr("scripts/setup")));
  write("manifest.json", R"({"onnx": "1.2", "cases": 2, "minimum": 1})");
  write("node/test_a/model.onnx", ""), write("node/test_a/test_data_set_0/output_0.pb", "");
  EXPECT_THAT([&] { read_corpus(folder); }, ThrowsMessage<std::runtime_error>(HasSubstr("1 cases, its manifest promises 2")));
  write("simple/test_b/model.onnx", "");
  EXPECT_THAT([&] { read_corpus(folder); }, ThrowsMessage<std::runtime_error>(HasSubstr("no test_data_set_0")));
  write("simple/test_b/test_data_set_0/input_0.pb", ""), write("simple/test_b/test_data_set_1/input_1.pb", "");
  write("simple/test_b/data.json", R"({"rtol": 0.5})");
  const Corpus corpus = read_corpus(folder);
  ASSERT_EQ(corpus.cases.size(), 2u);
  EXPECT_EQ(corpus.minimum, 1u);
  EXPECT_EQ(corpus.cases[0].name, "test_a");
  EXPECT_EQ(corpus.cases[0].data_sets[0].outputs.size(), 1u);
  EXPECT_EQ(corpus.cases[1].name, "simple/test_b");
  EXPECT_EQ(corpus.cases[1].data_sets.size(), 2u);
  EXPECT_EQ(corpus.cases[1].tolerances.rtol, 0.5);
  EXPECT_EQ(corpus.cases[1].tolerances.atol, 1e-7);
}

}  // namespace
}  // namespace tenon::corpus
