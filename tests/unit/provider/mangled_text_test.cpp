// Manifests and configurations with bytes and words changed at random, always the same ones: each is taken or refused in words.
// The fuzz targets (tests/fuzz) go further, with coverage as a guide.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <random>

#include "core/base/config.h"
#include "core/provider/manifest.h"

namespace tenon {
namespace {

constexpr int cases = 8000;

std::string file(const std::string& name) {
  std::ifstream in(std::string(TENON_SOURCE_DIR) + "/" + name);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string mangled(std::string text, std::mt19937& r) {
  static const char* const words[] = {"{", "}", "[", "]", "\"", ":", ",", "null", "true", "-1", "1e999", "18446744073709551616", "\\u0000", "\\ud800", "/*", "//",
                                      "\"use\"", "\"library\"", "\"sha256\"", "\"options_schema\"", "\"../../x\"", "\"${HOME}\"", "\"4GiB\"", "\"*\"", "[[[[[[[[", "{\"a\":"};
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(r()) % n; };
  for (std::size_t k = 1 + below(4); k > 0; --k) {
    const std::size_t at = below(text.size() + 1);
    switch (below(5)) {
      case 0: text.insert(at, words[below(std::size(words))]); break;
      case 1: text.erase(at, 1 + below(8)); break;
      case 2: if (at < text.size()) text[at] = static_cast<char>(below(256)); break;
      case 3: text.insert(at, text.substr(below(text.size() + 1), 1 + below(40))); break;
      default: text.resize(at); break;
    }
  }
  return text;
}

void try_all(const std::string& good, unsigned seed, const std::function<Status(const std::string&)>& parse) {
  ASSERT_FALSE(good.empty());
  std::mt19937 r(seed);
  int taken = 0;
  for (int i = 0; i < cases; ++i) {
    const std::string text = mangled(good, r);
    const Status s = parse(text);
    taken += s.ok();
    ASSERT_TRUE(s.ok() || !s.text().empty()) << text;
  }
  EXPECT_LT(taken, cases);  // else nothing was changed
}

TEST(MangledText, ManifestsAreTakenOrRefusedInWords) {
  const std::string good = R"({"manifest_version": 1, "id": "acme", "aliases": ["A"], "version": "1", "abi": {"major": 1, "min": 0, "target": 0},
    "library": {"linux-x86_64": "a.so"}, "sha256": {"linux-x86_64": "00"}, "requires": {"libs": ["libm.so.6"], "cpu_features": ["avx2"]},
    "devices": [{"kind": "npu"}], "unloadable": true,
    "options_schema": {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1, "default": 2}, "b": {"enum": ["x", "y"]}}}})";
  ASSERT_TRUE(parse_manifest(good, "/nowhere/acme.tenon.json").ok());
  try_all(good, 1, [](const std::string& text) -> Status {
    TENON_ASSIGN(const Manifest m, parse_manifest(text, "/nowhere/acme.tenon.json"));
    (void)preflight(m);
    TENON_TRY(check_options(m, text).status().clone());
    return {};
  });
}

TEST(MangledText, ConfigurationsAreTakenOrRefusedInWordsAndReadBackAsThemselves) {
  unsigned seed = 2;
  for (const char* name : {"configs/default.json", "configs/debug.json"})
    try_all(file(name), seed++, [](const std::string& text) -> Status {
      TENON_ASSIGN(const Config c, Config::parse(text, "mangled"));
      TENON_ASSIGN(const Config again, Config::parse(c.json(), "again"));
      EXPECT_EQ(again.json(), c.json());
      return {};
    });
}

}  // namespace
}  // namespace tenon
