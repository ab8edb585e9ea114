#include "sdk/cli/small_model.h"

#include <cmath>
#include <cstring>

namespace tenon::cli {
namespace {

// Fields of protobuf's wire format, as far as a model of one node needs them; numbers as in onnx.proto.
class Message {
 public:
  Message& number(unsigned field, std::uint64_t value) { return key(field, 0), varint(value), *this; }
  Message& text(unsigned field, std::string_view bytes) { return key(field, 2), varint(bytes.size()), bytes_.append(bytes), *this; }
  Message& inside(unsigned field, const Message& message) { return text(field, message.bytes_); }
  std::string take() { return std::move(bytes_); }

 private:
  void key(unsigned field, unsigned wire) { varint(field << 3 | wire); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

std::string name_of(std::size_t input) { return "x" + std::to_string(input); }

Message value_info(const std::string& name, std::int32_t dtype, const Dims* dims) {
  Message tensor, shape;
  tensor.number(1, static_cast<std::uint64_t>(dtype));
  if (dims) {
    for (std::int64_t d : *dims) shape.inside(1, Message().number(1, static_cast<std::uint64_t>(d)));
    tensor.inside(2, shape);
  }
  return Message().text(1, name).inside(2, Message().inside(1, tensor));
}

// Element i of input n.
double element(std::size_t n, std::size_t i) { return std::sin(static_cast<double>(i + 1) * (0.7 + 0.3 * static_cast<double>(n))); }

Value make_value(std::int32_t dtype, const Dims& dims, std::size_t n) {
  Value v = Value::tensor(dtype, dims);
  if (dtype == TENON_DTYPE_FLOAT)
    for (std::size_t i = 0; float& x : v.mutable_data<float>()) x = static_cast<float>(element(n, i++));
  else
    for (std::size_t i = 0; std::int64_t & x : v.mutable_data<std::int64_t>())
      x = static_cast<std::int64_t>(std::lround(4 * element(n, i++)));
  return v;
}

}  // namespace

std::string SmallModel::bytes() const {
  Message node, graph;
  for (std::size_t n = 0; n < inputs.size(); ++n) node.text(1, name_of(n));
  node.text(2, "y").text(3, "smoke").text(4, op);
  for (const auto& [name, values] : attributes) {
    Message attribute;
    attribute.text(1, name);
    for (std::int64_t v : values) attribute.number(8, static_cast<std::uint64_t>(v));
    node.inside(5, attribute.number(20, 7));
  }
  graph.inside(1, node).text(2, "smoke");
  for (std::size_t n = 0; n < inputs.size(); ++n) {
    if (!inputs[n].constant) {
      graph.inside(11, value_info(name_of(n), dtype, &inputs[n].dims));
      continue;
    }
    const Value v = make_value(dtype, inputs[n].dims, n);
    Message tensor;
    for (std::int64_t d : inputs[n].dims) tensor.number(1, static_cast<std::uint64_t>(d));
    tensor.number(2, static_cast<std::uint64_t>(dtype))
        .text(8, name_of(n))
        .text(9, {static_cast<const char*>(v.bytes()), v.size_bytes()});
    graph.inside(5, tensor);
  }
  graph.inside(12, value_info("y", dtype, nullptr));
  return Message().number(1, 8).inside(7, graph).inside(8, Message().text(1, "").number(2, 18)).take();
}

std::vector<Feed> SmallModel::feeds() const {
  std::vector<Feed> out;
  for (std::size_t n = 0; n < inputs.size(); ++n)
    if (!inputs[n].constant) out.push_back({name_of(n), make_value(dtype, inputs[n].dims, n)});
  return out;
}

}  // namespace tenon::cli
