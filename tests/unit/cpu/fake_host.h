// A host for tests without core: the objects behind its opaque types, and its table of functions.
//
// fail keeps the first failure in the task, parallel_for runs inline, strings are std::vector<std::string> behind an
// address's handle, as in core. What a test does not set answers with nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <tenon/host.h>

struct tenon_status {
  std::int32_t code;
  std::string text;
};

// A load or a run.
struct tenon_task {
  std::mutex mutex;
  std::int32_t code = TENON_OK;
  std::string text;
  std::function<tenon_address(std::uint32_t operand, std::vector<std::int64_t> dims)> alloc;  // memory for alloc_output
  std::function<tenon_const_tensor(std::uint64_t id)> constant;
  std::function<std::int32_t()> barrier;
  std::function<bool()> cancelled;
  std::map<std::string, std::unique_ptr<char[]>> packed;  // by "id/layout"
  std::vector<std::uint64_t> released;
};

struct tenon_plan_sink {
  struct Step {
    std::string name;
    std::vector<std::uint32_t> reads, writes, nodes;
    std::vector<tenon_inplace> inplace;
    std::uint32_t stage = 0;
    bool spmd = false;
  };
  std::vector<tenon_temp> temps;
  std::vector<Step> steps;
};

struct tenon_query_sink {
  std::vector<tenon_claim> claims;  // their arrays are gone
  std::map<std::uint32_t, std::pair<std::int32_t, std::string>> refusals;
};

namespace tenon::cpu::test {

const tenon_host_api& fake_host();

// What a provider gave, which is shorter where it speaks an older minor.
template <class T>
T whole(const T& given) {
  T out{};
  std::memcpy(&out, &given, std::min<std::size_t>(given.struct_size, sizeof out));
  return out;
}

}  // namespace tenon::cpu::test
