// import: a serialized ONNX model becomes a Model.
//
// Parses with the onnx library, maps large payloads, resolves external data, checks structure, expands local functions,
// and rewrites every operator to its canonical form (core/ops). Types are inferred afterwards (onnx/infer.h).
// No state; any thread.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "core/base/bundle.h"
#include "core/base/file_map.h"
#include "core/base/limits.h"
#include "core/graph/graph.h"
#include "core/ops/custom.h"

namespace tenon {

struct ImportOptions {
  Limits limits;
  const CustomOps* custom = nullptr;  // operators that providers declared; may be null
};

// Errors: NOT_FOUND, DATA_LOSS, INVALID_ARGUMENT, UNIMPLEMENTED, RESOURCE_EXHAUSTED; the text names file and node.
Result<std::unique_ptr<Model>> import_file(const std::string& path, const ImportOptions& options);
// The model that a bundle holds; its constants keep the bundle mapped.
Result<std::unique_ptr<Model>> import_bundle(const Bundle& bundle, const ImportOptions& options);
// keep holds the bytes as long as any constant points into them.
Result<std::unique_ptr<Model>> import_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> keep,
                                            const ImportOptions& options);

// The body of a schema function for one typed node, in canonical ops: inputs and outputs in the node's order. null when
// the operator has none.
Result<GraphPtr> function_body(Model& model, const Graph& graph, const Node& node, const ImportOptions& options);

}  // namespace tenon
