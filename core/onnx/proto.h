// Conversions between the onnx library's messages and ours. Inside core/onnx only.
// No state; any thread.
#pragma once

#include <onnx/onnx_pb.h>

#include "core/base/bundle.h"
#include "core/graph/graph.h"
#include "core/onnx/import.h"
#include "core/onnx/slim.h"

namespace tenon {

namespace onnx = ::ONNX_NAMESPACE;

Type type_from_proto(const onnx::TypeProto& proto, SymbolTable& symbols);
void type_to_proto(const Type& type, const SymbolTable& symbols, onnx::TypeProto& proto);
void attribute_to_proto(const Attribute& attribute, onnx::AttributeProto& proto);
// A body that reads nothing of the graph around it.
void graph_to_proto(const Graph& graph, onnx::GraphProto& proto);
void constant_to_proto(const Constant& constant, onnx::TensorProto& proto);

// Where tensor payloads that are not in the message come from.
struct Payloads {
  const SlimModel* slim = nullptr;
  std::span<const std::byte> bytes;   // the original model
  std::shared_ptr<const void> keep;
  const FileMap* source = nullptr;    // the mapped model, which keep holds; null for bytes
  std::string path;                   // canonical; "" for bytes
  std::string file;                   // identity of the mapped model; "" for bytes
  std::string folder;                 // where external data may lie; "" for none
  const Bundle* bundle = nullptr;     // of which `bytes` are the model: its weights are all the external data there is
  std::uint64_t max_bytes = ~0ull;
  int max_rank = 64;
  std::unordered_map<std::string, std::shared_ptr<const void>> maps;  // external files by canonical path (FileMap)
};
Result<ConstantPtr> constant_from_proto(const onnx::TensorProto& proto, Payloads& payloads);
// The bytes of a tensor whose payload is not in the message; nullopt where it is. Errors: those of external data.
Result<std::optional<std::span<const std::byte>>> outside_bytes(const onnx::TensorProto& proto, Payloads& payloads);

// Reads the file's message, the large payloads lifted out of it, and hands both to `use`; they end with the call. Errors: those of
// import_file for files and messages.
Status read_model(const std::string& path, const ImportOptions& options, const std::function<Status(onnx::ModelProto&, Payloads&)>& use);

}  // namespace tenon
