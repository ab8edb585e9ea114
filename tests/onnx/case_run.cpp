#include "case_run.h"

#include <fstream>
#include <iterator>

#include <fmt/format.h>

namespace tenon::corpus {
namespace {

Value read_value(const std::filesystem::path& path, std::int32_t kind) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw std::runtime_error(fmt::format("{}: cannot be read", path.string()));
  return Value::parse(kind, std::as_bytes(std::span(bytes)));
}

// Data sets have files for the inputs that have no initializer.
std::vector<const Port*> fed(const Session& session) {
  std::vector<const Port*> ports;
  for (const Port& p : session.inputs())
    if (!p.optional || p.kind == TENON_KIND_OPTIONAL) ports.push_back(&p);
  return ports;
}

std::string run_data_set(const Session& session, const DataSet& set, const Tolerances& tolerances) {
  const std::vector<const Port*> ports = fed(session);
  if (set.inputs.size() != ports.size() || set.outputs.size() != session.outputs().size())
    return fmt::format("the data set has {} inputs and {} outputs, the model {} and {}", set.inputs.size(), set.outputs.size(),
                       ports.size(), session.outputs().size());
  std::vector<Feed> feeds;
  for (std::size_t i = 0; i < ports.size(); ++i)
    feeds.push_back({std::string(ports[i]->name), read_value(set.inputs[i], ports[i]->kind)});
  const Outputs outputs = session.run(feeds);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Value expected = read_value(set.outputs[i], session.outputs()[i].kind);
    if (const std::string text = difference(outputs[i], expected, tolerances); !text.empty())
      return fmt::format("output {} \"{}\": {}", i, session.outputs()[i].name, text);
  }
  return {};
}

}  // namespace

std::string run_case(const Case& which, const Config& config) try {
  SessionOptions options;
  options.configuration = config;
  const Session session(which.model, options);
  for (const DataSet& set : which.data_sets)
    if (const std::string text = run_data_set(session, set, which.tolerances); !text.empty()) return text;
  return {};
} catch (const std::exception& e) {
  const std::string text = e.what();
  return text.empty() ? "failed without a text" : text;
}

}  // namespace tenon::corpus
