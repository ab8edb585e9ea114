// Sessions over the test provider "async", whose devices work later than they are asked to (tests/plugins/async.cpp).
#pragma once

#include "tests/support/model_text.h"

namespace tenon::test {

// devices: "0" the lazy one alone, "*" all four.
inline Config async_config(const std::string& devices, bool cpu_listed = false, const std::string& more = "") {
  return config("{\"providers\":[{\"use\":\"async\",\"device\":\"" + devices + "\"}" + (cpu_listed ? ",{\"use\":\"cpu\"}" : "") +
                "],\"provider_paths\":[\"" + std::string(TENON_BINARY_DIR) + "/test_providers/async\"]" + (more.empty() ? "" : "," + more) + "}");
}

inline std::string device_of(const Session& s, std::string_view op) {
  for (const PlacedNode& n : s.placement().nodes)
    if (n.op_type == op) return n.device;
  return "";
}

inline std::vector<float> ramp(std::size_t n, float step = 0.01f) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = step * static_cast<float>(i % 97) - 0.3f;
  return x;
}

// The model on the async devices, several times and sizes, against the CPU alone.
inline void agrees(const std::string& bytes, const std::string& devices, const std::vector<Dims>& shapes) {
  auto s = session(bytes, async_config(devices));
  auto reference = session(bytes, with_providers({"cpu"}));
  ASSERT_TRUE(s && reference);
  for (const Dims& dims : shapes) {
    std::size_t count = 1;
    for (std::int64_t d : dims) count *= static_cast<std::size_t>(d);
    const auto x = tensor<float>(dims, ramp(count));
    const auto got = run(*s, {{"x", x}});
    const auto want = run(*reference, {{"x", x}});
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t o = 0; o < got.size(); ++o) {
      ASSERT_EQ(got[o].datum.dims, want[o].datum.dims);
      if (got[o].datum.dtype != TENON_DTYPE_FLOAT) continue;
      const auto a = values<float>(got[o].datum), b = values<float>(want[o].datum);
      for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-5) << got[o].name << " at " << i << "\n" << s->plan_text();
    }
  }
}

}  // namespace tenon::test
