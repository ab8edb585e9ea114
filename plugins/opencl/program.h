// Program: one compiled part: units in execution order, the values between them, and its constants.
//
// Made by compile and immutable afterwards, except that constants are brought to the device on first use (under a lock). Value
// numbers are the program's own. Any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "plugins/opencl/device/device.h"
#include "plugins/opencl/families.h"

namespace tenon::opencl {

constexpr std::uint32_t no_value = TENON_NO_VALUE;

struct Value {
  std::uint32_t graph_value = 0;     // dims and known elements
  std::int32_t dtype = 0;
  std::uint32_t operand = no_value;  // of the part: an input or an output
  std::uint32_t constant = no_value; // index into the program's constants
  bool is_output = false;
};

// A node, or several fused ones.
struct Unit {
  std::unique_ptr<Op> op;
  std::vector<std::uint32_t> inputs, outputs;  // values; no_value where omitted
  // What follows the op inside its kernel: slot 0 is the op's output 0, slot k is epilogue_inputs[k - 1]; its results are the unit's
  // outputs. No nodes: nothing follows.
  Expression epilogue;
  std::vector<std::uint32_t> epilogue_inputs;
  std::uint32_t raw = no_value;                // with an epilogue: the value that the op itself makes
  std::vector<std::uint32_t> nodes;            // graph nodes
  std::string label;                           // for messages
};

// Bytes on the device that do not change: a constant as it is, or packed. Host memory is wrapped, device memory is the device's own.
struct Constant {
  std::uint64_t id = 0;    // 0: packed
  std::int32_t dtype = 0;
  Dims dims;
  std::uint64_t bytes = 0;
  const void* host = nullptr;  // where the host can read it; null for packed forms in device memory
  MemHandle own;               // what this program made
  cl_mem mem = nullptr;        // null: not brought yet
  std::uint64_t offset = 0;
};

class Program {
 public:
  // Throws Failure and HostError.
  // handle: the device as the host knows it.
  static std::unique_ptr<Program> compile(std::shared_ptr<Device> device, tenon_device* handle, const tenon_part& part, tenon_task* load);
  Program(const Program&) = delete;

  // Brings a constant to the device if it is not there yet.
  const Constant& constant(std::uint32_t index, tenon_task* load) const;
  // Elements of a small constant in host memory, null for large ones.
  const void* known(std::uint32_t index, tenon_task* load) const;

  std::shared_ptr<Device> device;
  std::uint32_t input_count = 0, output_count = 0;
  std::vector<Value> values;
  std::vector<Unit> units;
  std::vector<std::unique_ptr<Constant>> constants;

 private:
  Program() = default;
  mutable std::mutex mutex_;
};

}  // namespace tenon::opencl
