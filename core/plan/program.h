// Program: one compiled part of a graph, and the order in which parts and host steps run.
// Owned by the block; immutable after load. Any thread may read.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "core/partition/cover.h"
#include "core/provider/provider.h"

namespace tenon {

struct Program {
  CoverPart part;
  DevicePtr device;
  tenon_program* handle = nullptr;
  std::vector<NodeId> nodes;  // in execution order
  std::vector<std::vector<NodeId>> claims;  // nodes of each chosen claim

  Program() = default;
  Program(Program&& o) noexcept
      : part(std::move(o.part)), device(std::move(o.device)), handle(std::exchange(o.handle, nullptr)), nodes(std::move(o.nodes)), claims(std::move(o.claims)) {}
  Program(const Program&) = delete;
  ~Program() {
    if (handle) device->program_destroy(handle);
  }
};

// What runs one after another: a program, or a node that core runs itself (control flow, sequences).
struct Item {
  enum class Kind { program, host_step } kind = Kind::program;
  std::uint32_t index = 0;  // into programs, or the node
  std::uint32_t segment = 0, level = 0;
  bool queued = false;  // given to a device's queue: first of its level, so that the host works beside it
};

}  // namespace tenon
