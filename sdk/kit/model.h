// Model: a small ONNX model, written node by node and serialized. For the kit's own cases: it knows what those need.
// A value type. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <tenon/tenon.hpp>

namespace tenon::kit {

struct Attribute {
  std::string name;
  std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>, std::vector<float>> value;
};

class Model {
 public:
  // opset of ai.onnx; others are imported at 1 when a node names them.
  explicit Model(int opset = 26) : opset_(opset) {}

  // A dim below zero is named: -1 is "N1", -2 "N2"; equal names are equal sizes.
  Model& input(std::string_view name, std::int32_t dtype, const Dims& dims);
  Model& constant(std::string_view name, const Value& tensor);
  // "" among inputs or outputs: omitted.
  Model& node(std::string_view op, const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
              const std::vector<Attribute>& attributes = {}, std::string_view domain = "");
  // Its type is left to inference.
  Model& output(std::string_view name);
  std::string bytes() const;

 private:
  int opset_;
  std::vector<std::string> domains_;
  std::string graph_;
  int nodes_ = 0;
};

}  // namespace tenon::kit
