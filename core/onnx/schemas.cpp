#include "core/onnx/schemas.h"

#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include <onnx/defs/operator_sets.h>
#include <onnx/defs/operator_sets_ml.h>
#include <onnx/defs/operator_sets_preview.h>

namespace tenon {
namespace {

enum class Set { ai_onnx, ml, preview };

struct Row {
  Set set;
  std::string_view op_type;
  std::int64_t version;
  onnx::OpSchema (*make)();
};

// Every schema that the library's headers declare: { set, name, version, function }.
constexpr Row rows[] = {
#include "core/onnx/schema_table.inc"
};

class Schemas {
 public:
  Schemas() : made_(std::size(rows)) {
    for (std::uint32_t r = 0; r < std::size(rows); ++r) by_name_[rows[r].op_type].push_back(r);
  }

  const onnx::OpSchema* find(std::string_view op_type, std::string_view domain, std::int64_t version) {
    const bool preview = domain.starts_with("ai.onnx.preview");
    if (!domain.empty() && domain != "ai.onnx.ml" && !preview) return nullptr;
    const Set set = domain.empty() ? Set::ai_onnx : preview ? Set::preview : Set::ml;
    const auto it = by_name_.find(op_type);
    if (it == by_name_.end()) return nullptr;
    const Row* best = nullptr;
    for (std::uint32_t r : it->second)
      if (rows[r].set == set && rows[r].version <= version && (!best || rows[r].version > best->version)) best = &rows[r];
    if (!best) return nullptr;
    const std::lock_guard lock(mutex_);
    std::unique_ptr<onnx::OpSchema>& schema = made_[static_cast<std::size_t>(best - rows)];
    if (!schema) {
      schema = std::make_unique<onnx::OpSchema>(best->make());
      schema->Finalize();
    }
    return schema->domain() == domain ? schema.get() : nullptr;  // there are two preview domains
  }

 private:
  std::unordered_map<std::string_view, std::vector<std::uint32_t>> by_name_;
  std::vector<std::unique_ptr<onnx::OpSchema>> made_;
  std::mutex mutex_;
};

}  // namespace

const onnx::OpSchema* find_schema(std::string_view op_type, std::string_view domain, std::int64_t version) {
  static Schemas& schemas = *new Schemas;  // outlives whatever runs at exit
  return schemas.find(op_type, domain, version);
}

}  // namespace tenon
