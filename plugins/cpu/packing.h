// Packing: what ops get in compile: the bytes of constants, packed forms shared through the host, private memory.
//
// One per compile; ops are made by several threads at once. What it hands out belongs to the host or to the program and outlives it.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "plugins/cpu/program.h"

namespace tenon::cpu {

class Packing final : public CompileContext {
 public:
  Packing(const Program& program, const tenon_graph& graph, tenon_task* load) : program_(program), graph_(graph), load_(load) {}

  const Options& options() const override { return program_.options; }
  tenon_const_tensor constant(const NodeView& node, std::uint32_t i) override;
  tenon_const_tensor raw_constant(const NodeView& node, std::uint32_t i) override;
  const void* packed(const NodeView& node, std::uint32_t i, std::string_view layout_id, std::uint64_t bytes,
                     const std::function<void(const tenon_const_tensor&, void*)>& fill) override;
  void* alloc(std::uint64_t bytes) override { return program_.alloc(bytes); }

  const Program& program() const { return program_; }
  const tenon_graph& graph() const { return graph_; }
  tenon_task* load() const { return load_; }

  // Converted bytes of a half constant that were made, null where none were asked for.
  const void* widened(std::uint64_t id) const;
  // Whether a node of this unit took a packed form of the constant, and so will hardly read its bytes.
  bool packed_by(const Unit& unit, std::uint64_t id) const;
  // Says that the program holds a float32 copy of what a unit reads, and will not read the constant itself.
  void copied(const Unit& unit, std::uint64_t id) {
    note(id, [&](Use& use) { use.packers.insert(use.packers.end(), unit.nodes.begin(), unit.nodes.end()); });
  }
  // Tells the host which constants only packed forms were taken of, where nobody else in the graph reads them.
  void release() const;

 private:
  struct Use {
    bool read = false;                  // its bytes were handed out
    const void* wide = nullptr;
    std::vector<std::uint32_t> packers; // nodes that took a packed form, or the bytes as they are
  };
  tenon_const_tensor fetch(std::uint64_t id) const;
  // As declared; noted as handed out.
  tenon_const_tensor read(const NodeView& node, std::uint32_t i);
  template <class Fn>
  void note(std::uint64_t id, Fn&& change) {
    std::lock_guard lock(mutex_);
    change(uses_[id]);
  }

  const Program& program_;
  const tenon_graph& graph_;
  tenon_task* load_;
  std::mutex mutex_;
  std::map<std::uint64_t, Use> uses_;
};

// float32 of count elements of a half type, with the kernels of this instruction set.
void widen(std::int32_t dtype, const void* from, float* to, std::int64_t count, Isa isa);

}  // namespace tenon::cpu
