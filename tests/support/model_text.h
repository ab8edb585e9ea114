// Models for tests from the onnx library's text form, and sessions over them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <onnx/defs/parser.h>

#include "core/run/session.h"

namespace tenon::test {

namespace onnx = ::ONNX_NAMESPACE;

// The serialized model that a text spells: `<ir_version: 9, opset_import: ["" : 18]> g (float[N] x) => (float[N] y) {...}`.
inline std::string model_bytes(std::string_view text) {
  onnx::ModelProto model;
  const std::string held(text);  // the parser keeps the pointer
  onnx::OnnxParser parser(held.c_str());
  const auto status = parser.Parse(model);
  EXPECT_TRUE(status.IsOK()) << status.ErrorMessage() << "\n" << text;
  return model.SerializeAsString();
}
// The same with the usual header in front of the graph.
inline std::string graph_bytes(std::string_view graph, int opset = 18) {
  return model_bytes("<ir_version: 10, opset_import: [\"\" : " + std::to_string(opset) + ", \"test.acme\" : 1]> " + std::string(graph));
}

inline Config config(std::string_view json) {
  Result<Config> c = Config::parse(json, "test");
  EXPECT_TRUE(c.ok()) << c.status().text();
  // What was measured on this machine has no say, unless that is the test.
  if (c.ok() && json.find("\"costs\"") == json.npos) {
    EXPECT_TRUE(c->set("/placement/costs", "").ok());
  }
  return c.ok() ? *c : Config();
}
// {"providers": [...], "provider_paths": [the folders of the test providers named]}
inline Config with_providers(const std::vector<std::string>& folders, const std::string& more = "") {
  std::string use, paths;
  for (const std::string& f : folders) {
    const bool own = f == "cpu";
    const std::string id = f == "second" || f == "shared" || f == "custom" || own ? f : "hostile";
    use += (use.empty() ? "" : ",") + ("{\"use\":\"" + id + "\"}");
    if (!own) paths += (paths.empty() ? "\"" : ",\"") + std::string(TENON_BINARY_DIR) + "/test_providers/" + f + "\"";
  }
  return config("{\"providers\":[" + use + "],\"provider_paths\":[" + paths + "]" + (more.empty() ? "" : "," + more) + "}");
}

inline Result<std::unique_ptr<Session>> load(const std::string& bytes, Config c) {
  LoadOptions options;
  options.config = std::move(c);
  return Session::load_bytes({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, std::move(options));
}
// Fails the test when the model does not load.
inline std::unique_ptr<Session> session(const std::string& bytes, Config c) {
  auto s = load(bytes, std::move(c));
  EXPECT_TRUE(s.ok()) << s.status().text();
  return s.ok() ? *std::move(s) : nullptr;
}

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return TENON_DTYPE_FLOAT;
  else if constexpr (std::is_same_v<T, double>) return TENON_DTYPE_DOUBLE;
  else if constexpr (std::is_same_v<T, std::int64_t>) return TENON_DTYPE_INT64;
  else if constexpr (std::is_same_v<T, std::int32_t>) return TENON_DTYPE_INT32;
  else if constexpr (std::is_same_v<T, bool>) return TENON_DTYPE_BOOL;
  else return TENON_DTYPE_UINT8;
}
template <class T>
Datum tensor(Dims dims, const std::vector<T>& values) {
  Datum d = *Datum::tensor(dtype_of<T>(), std::move(dims));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const T v = values[i];
    std::memcpy(d.data + i * sizeof(T), &v, sizeof(T));
  }
  return d;
}
template <class T>
std::vector<T> values(const Datum& d) {
  std::vector<T> out(static_cast<std::size_t>(d.count()));
  for (std::size_t i = 0; i < out.size(); ++i) {
    T v;
    std::memcpy(&v, d.data + i * sizeof(T), sizeof(T));
    out[i] = v;
  }
  return out;
}

// All outputs; fails the test when the run does.
inline std::vector<NamedDatum> run(const Session& s, const std::vector<NamedDatum>& feeds) {
  std::vector<NamedDatum> out;
  const Status status = s.run(feeds, {}, out);
  EXPECT_TRUE(status.ok()) << status.text();
  return status.ok() ? std::move(out) : std::vector<NamedDatum>{};
}
// The text of the failure of a load or a run; fails the test when there is none.
inline std::string load_failure(const std::string& bytes, Config c) {
  auto s = load(bytes, std::move(c));
  EXPECT_FALSE(s.ok());
  return s.ok() ? "" : std::string(s.status().text());
}
inline std::string run_failure(const Session& s, const std::vector<NamedDatum>& feeds) {
  std::vector<NamedDatum> out;
  const Status status = s.run(feeds, {}, out);
  EXPECT_FALSE(status.ok());
  return std::string(status.text());
}

}  // namespace tenon::test
