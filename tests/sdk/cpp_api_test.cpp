#include <algorithm>
#include <cstddef>
#include <thread>

#include <gtest/gtest.h>
#include <tenon/tenon.hpp>

#include "models.h"

namespace {

using tenon::Session;
using tenon::Value;
using tenon::view;

Session sums() { return Session(std::as_bytes(std::span(sums_model))); }

std::int32_t code_of(auto&& fn) {
  try {
    fn();
  } catch (const tenon::Error& e) {
    return e.code();
  }
  return TENON_OK;
}

TEST(CppApi, RunsByNameWithoutCopyingInputs) {
  const std::vector<float> x = {1, 2, 3}, y = {10, 20, 30};
  const tenon::Outputs out = sums().run({{"x", view(x, {1, 3})}, {"y", view(y, {1, 3})}});
  ASSERT_EQ(out.size(), 2u);
  const auto sum = out["sum"].data<float>();
  EXPECT_EQ(std::vector<float>(sum.begin(), sum.end()), (std::vector<float>{11, 22, 33}));
  EXPECT_NE(out["same"].bytes(), x.data());
  EXPECT_EQ(code_of([&] { (void)out["sun"]; }), TENON_NOT_FOUND);
  EXPECT_EQ(code_of([&] { (void)out["sum"].data<double>(); }), TENON_INVALID_ARGUMENT);
}

TEST(CppApi, DescribesThePorts) {
  const Session session = sums();
  ASSERT_EQ(session.inputs().size(), 2u);
  const tenon::Port& x = session.inputs()[0];
  EXPECT_EQ(x.name, "x");
  EXPECT_EQ(x.type, "tensor(float)");
  EXPECT_EQ(x.dims, (tenon::Dims{-1, 3}));
  EXPECT_EQ(x.dim_names[0], "batch");
  EXPECT_EQ(session.metadata("key"), "value");
  EXPECT_EQ(session.metadata("nothing"), std::nullopt);
  EXPECT_FALSE(session.providers().empty());
  EXPECT_NE(session.placement_json().find("\"nodes\""), std::string::npos);
  const std::vector<tenon::PlacedNode> nodes = session.placement();
  ASSERT_EQ(nodes.size(), 2u);
  EXPECT_EQ(nodes[0].provider, "cpu");
  EXPECT_EQ(nodes[0].part, 0);
  EXPECT_GT(nodes[0].cost_ns, 0);
  EXPECT_FALSE(nodes[0].reason.empty());
  EXPECT_NE(session.explain().find("runs on"), std::string::npos);
  EXPECT_EQ(session.explain("html").rfind("<!DOCTYPE html>", 0), 0u);
  EXPECT_EQ(code_of([&] { (void)session.explain("xml"); }), TENON_INVALID_ARGUMENT);
  EXPECT_GT(session.cost_if(0, 0), 0);
}

TEST(CppApi, KeepsAStateForEachConversation) {
  tenon::SessionOptions options;
  options.settings = {{"/session/state", R"({"y": "sum"})"}};  // the last sum is the next y
  const Session session(std::as_bytes(std::span(sums_model)), options);
  ASSERT_EQ(session.inputs().size(), 1u);
  const std::vector<float> x = {1, 2, 3};
  const tenon::State own = session.state(), other = session.make_state();
  ASSERT_TRUE(own && other);
  tenon::RunOptions with_other;
  with_other.state = other;
  for (int i = 0; i < 3; ++i) session.run({{"x", view(x, {1, 3})}});
  session.run({{"x", view(x, {1, 3})}}, with_other);
  const tenon::State fork = other.fork();
  const Value after_three = own.value("y"), after_one = fork.value("y");
  EXPECT_EQ(after_three.data<float>()[2], 9);
  EXPECT_EQ(after_one.data<float>()[2], 3);
  EXPECT_EQ(own.rows(), 0);  // of caches, of which there are none here
  own.reset();
  EXPECT_EQ(code_of([&] { (void)own.value("y"); }), TENON_NOT_FOUND);
  EXPECT_EQ(code_of([&] { own.truncate(1); }), TENON_OUT_OF_RANGE);
  EXPECT_FALSE(sums().state());
  EXPECT_EQ(code_of([&] { (void)sums().make_state(); }), TENON_FAILED_PRECONDITION);
}

TEST(CppApi, ReadsSerializedValues) {
  // TensorProto {dims: [2], data_type: INT8, raw_data: "\1\2"} and a SequenceProto {elem_type: TENSOR} of two of them.
  const std::string tensor("\x08\x02\x10\x03\x4a\x02\x01\x02", 8);
  const std::string sequence = "\x10\x01" "\x1a\x08" + tensor + "\x1a\x08" + tensor;
  const auto bytes = [](const std::string& s) { return std::as_bytes(std::span(s)); };
  const Value one = Value::parse(TENON_KIND_TENSOR, bytes(tensor));
  EXPECT_EQ(one.data<std::int8_t>()[1], 2);
  const Value list = Value::parse(TENON_KIND_SEQUENCE, bytes(sequence));
  ASSERT_EQ(list.count(), 2u);
  EXPECT_EQ(list.item(1).dims()[0], 2);
  EXPECT_EQ(code_of([&] { (void)Value::parse(TENON_KIND_TENSOR, bytes("nothing of the kind")); }), TENON_DATA_LOSS);
}

TEST(CppApi, OwnedInputsAndInPlaceOutputs) {
  std::vector<tenon::Feed> feeds = {{"x", Value(std::vector<float>{1, 2, 3}, {1, 3})}, {"y", Value(std::vector<float>{1, 1, 1}, {1, 3})}};
  std::vector<float> mine(3);
  std::vector<tenon::Feed> results = {{"same", {}}, {"sum", view(mine, {1, 3})}};
  sums().run_into(feeds, results);
  EXPECT_EQ(mine, (std::vector<float>{2, 3, 4}));
  EXPECT_EQ(results[1].value.bytes(), mine.data());
  EXPECT_EQ(results[0].value.data<float>()[2], 3);
}

TEST(CppApi, OutputsOutliveTheSession) {
  std::optional<Session> session(sums());
  const std::vector<float> x = {1, 2, 3};
  std::future<tenon::Outputs> later = session->run_async({{"x", view(x, {1, 3})}, {"y", view(x, {1, 3})}});
  session.reset();
  const tenon::Outputs out = later.get();
  EXPECT_EQ(out["sum"].data<float>()[2], 6);
}

TEST(CppApi, ErrorsAreThrownOrReturned) {
  EXPECT_EQ(code_of([] { Session("/no/such/model.onnx"); }), TENON_NOT_FOUND);
  const tenon::Expected<Session> none = Session::try_load("/no/such/model.onnx");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), TENON_NOT_FOUND);
  EXPECT_NE(std::string(none.error().what()).find("/no/such/model.onnx"), std::string::npos);
  const std::vector<float> x = {1, 2, 3};
  const std::vector<tenon::Feed> feeds = {{"x", view(x, {1, 3})}};
  EXPECT_FALSE(sums().try_run(feeds));
  EXPECT_EQ(code_of([&] { (void)none.value(); }), TENON_NOT_FOUND);
}

TEST(CppApi, StopTokenAndTimeoutEndRuns) {
  const Session session(std::as_bytes(std::span(loop_model)));
  const std::vector<tenon::Feed> feeds = {{"limit", Value::scalar<std::int64_t>(INT64_MAX)}, {"x", Value(std::vector<float>{1}, {1})}};
  EXPECT_EQ(code_of([&] { session.run(feeds, {}, {.stop = {}, .timeout = std::chrono::milliseconds(20), .profile = nullptr}); }),
            TENON_DEADLINE_EXCEEDED);
  std::stop_source source;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    source.request_stop();
  });
  EXPECT_EQ(code_of([&] { session.run(feeds, {}, {.stop = source.get_token(), .timeout = {}, .profile = nullptr}); }), TENON_CANCELLED);
}

TEST(CppApi, ProfilesAddUp) {
  const Session session = sums();
  const std::vector<float> x = {1, 2, 3};
  tenon::Profile profile;
  session.run({{"x", view(x, {1, 3})}, {"y", view(x, {1, 3})}}, {.stop = {}, .timeout = {}, .profile = &profile});
  const std::size_t once = profile.event_count();
  session.run({{"x", view(x, {1, 3})}, {"y", view(x, {1, 3})}}, {.stop = {}, .timeout = {}, .profile = &profile});
  EXPECT_GT(once, 0u);
  EXPECT_EQ(profile.event_count(), 2 * once);
}

TEST(CppApi, ValuesOfEveryKind) {
  const Value words = Value::strings(std::vector<std::string>{"a", std::string("b\0c", 3)}, {2});
  EXPECT_EQ(words.strings(), (std::vector<std::string>{"a", std::string("b\0c", 3)}));
  const std::vector<Value> items = {Value::scalar(1.0f), Value::scalar(2.0f)};
  const Value sequence = Value::sequence(items);
  EXPECT_EQ(sequence.kind(), TENON_KIND_SEQUENCE);
  const Value second = sequence.item(1);
  EXPECT_EQ(second.data<float>()[0], 2);
  EXPECT_EQ(code_of([&] { sequence.item(2); }), TENON_OUT_OF_RANGE);
  const Value map = Value::map(std::vector<std::string>{"one", "two"}, items);
  EXPECT_EQ(map.string_key(1), "two");
  EXPECT_EQ(Value::optional().count(), 0u);
  EXPECT_EQ(Value::optional(words).item(0).strings().size(), 2u);
  EXPECT_EQ(code_of([] { Value(std::vector<float>{1, 2}, {3}); }), TENON_INVALID_ARGUMENT);
}

TEST(CppApi, ConfigurationsAreValues) {
  tenon::Config config = tenon::Config::parse(R"({"session": {"threads": 2}})");
  tenon::Config copy = config;
  copy.set("/session/threads", "3").add_provider("cpu");
  EXPECT_NE(config.text().find("2"), std::string::npos);
  EXPECT_NE(copy.text().find("3"), std::string::npos);
  EXPECT_EQ(code_of([&] { copy.set("/session/tread", "1"); }), TENON_INVALID_ARGUMENT);
  tenon::SessionOptions options;
  options.providers = {"no_such_provider"};
  EXPECT_EQ(code_of([&] { Session(std::as_bytes(std::span(sums_model)), options); }), TENON_NOT_FOUND);
}

}  // namespace
