// Case: one thing that a provider must do, and what came of it.
//
// A body returns when all is well and throws otherwise: Broken says what is wrong, NotClaimed that the provider does not offer
// what the case needs. Bodies run in a child process (children.h), on its main thread.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace tenon::kit {

class Subject;

struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct NotClaimed : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// The case is none: ONNX has no such operator and type.
struct NoCase {};

// Throws Broken unless it holds.
inline void expect(bool holds, const std::string& text) {
  if (!holds) throw Broken(text);
}

struct Case {
  std::string suite, name;
  std::function<void(Subject&)> body;
  bool shared = false;        // many of them may run in one process, one after another; a crash still costs one alone
  bool needs_device = true;

  std::string full() const { return suite + "/" + name; }
};

// What came of a case. absent: it turned out to be none, and does not count.
enum class Verdict { pass, fail, crash, timeout, not_claimed, no_device, skipped, stale_skip, absent };
const char* name_of(Verdict verdict);
inline bool is_failure(Verdict v) {
  return v == Verdict::fail || v == Verdict::crash || v == Verdict::timeout || v == Verdict::stale_skip;
}

struct Outcome {
  Verdict verdict = Verdict::no_device;
  std::string text;  // why, for people
  double seconds = 0;
};

// The eleven suites, in the order in which they run.
std::vector<std::string> suite_names();
// onnx_cases: archive or folder of the standard's cases (onnx_cases.h), "" none. Errors: std::runtime_error when it is neither.
std::vector<Case> all_cases(const std::string& onnx_cases);

void add_abi(std::vector<Case>& cases);
void add_lifecycle(std::vector<Case>& cases);
void add_memory(std::vector<Case>& cases);
void add_streams(std::vector<Case>& cases);
void add_query(std::vector<Case>& cases);
void add_operators(std::vector<Case>& cases);
void add_shapes(std::vector<Case>& cases);
void add_concurrency(std::vector<Case>& cases);
void add_artifacts(std::vector<Case>& cases);
void add_faults(std::vector<Case>& cases);
void add_costs(std::vector<Case>& cases);

}  // namespace tenon::kit
