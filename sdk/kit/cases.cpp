#include "sdk/kit/case.h"

#include "sdk/kit/onnx_cases.h"

namespace tenon::kit {
namespace {

using Add = void (*)(std::vector<Case>&);
constexpr std::pair<const char*, Add> suites[] = {{"abi", add_abi},
                                                  {"lifecycle", add_lifecycle},
                                                  {"memory", add_memory},
                                                  {"streams", add_streams},
                                                  {"query", add_query},
                                                  {"operators", add_operators},
                                                  {"shapes", add_shapes},
                                                  {"concurrency", add_concurrency},
                                                  {"artifacts", add_artifacts},
                                                  {"faults", add_faults},
                                                  {"costs", add_costs}};

}  // namespace

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass: return "passed";
    case Verdict::fail: return "failed";
    case Verdict::crash: return "crashed";
    case Verdict::timeout: return "timed out";
    case Verdict::not_claimed: return "not claimed";
    case Verdict::no_device: return "no device";
    case Verdict::skipped: return "skipped";
    case Verdict::stale_skip: return "passes though skipped";
    case Verdict::absent: return "absent";
  }
  return "unknown";
}

std::vector<std::string> suite_names() {
  std::vector<std::string> names;
  for (const auto& [name, add] : suites) names.emplace_back(name);
  return names;
}

std::vector<Case> all_cases(const std::string& onnx_cases) {
  std::vector<Case> cases;
  for (const auto& [name, add] : suites) {
    add(cases);
    if (add == add_operators && !onnx_cases.empty()) add_onnx(cases, onnx_cases);
  }
  return cases;
}

}  // namespace tenon::kit
