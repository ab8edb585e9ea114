// operators, second half: the node cases of the ONNX standard, each with what the standard says must come of it.
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "sdk/kit/onnx_cases.h"
#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

Value value_of(const OnnxCases& all, const std::string& name, std::int32_t kind) {
  const std::string bytes = all.read(name);
  return Value::parse(kind, std::as_bytes(std::span(bytes)));
}

// A provider may be as far off as the case allows, or as the kit allows for this type.
std::string apart(const Value& got, const Value& expected, const OnnxCase& c) {
  if (c.random) return same_type(got, expected);
  std::string text = difference(got, expected, c.tolerances);
  if (!text.empty() && expected.kind() == TENON_KIND_TENSOR && is_float(expected.dtype()) && difference(got, expected).empty())
    text.clear();
  return text;
}

void run_set(const OnnxCases& all, const OnnxCase& c, const Session& session, const OnnxCase::Data& set) {
  std::vector<Feed> feeds;
  for (const Port& port : session.inputs()) {
    if (port.optional && port.kind != TENON_KIND_OPTIONAL) continue;  // an initializer is its default
    expect(feeds.size() < set.inputs.size(), fmt::format("the case has no data for input \"{}\"", port.name));
    feeds.push_back({std::string(port.name), value_of(all, set.inputs[feeds.size()], port.kind)});
  }
  const Outputs got = run(session, feeds);
  expect(got.size() == set.outputs.size(), fmt::format("the case has data for {} outputs of {}", set.outputs.size(), got.size()));
  for (std::size_t i = 0; i < got.size(); ++i) {
    const Port& port = session.outputs()[i];
    const std::string text = apart(got[i], value_of(all, set.outputs[i], port.kind), c);
    expect(text.empty(), fmt::format("output {} \"{}\": {}", i, port.name, text));
  }
}

void check_case(Subject& s, const OnnxCases& all, const OnnxCase& c) {
  const std::string model = all.read(c.model);
  std::optional<Session> loaded;
  try {
    loaded = s.tested_bytes(model);
  } catch (const Error& e) {
    try {
      (void)Subject::oracle_bytes(model);
    } catch (const Error& of_oracle) {  // a case of a newer standard
      throw NotClaimed(fmt::format("tenon cannot load it: {}", of_oracle.what()));
    }
    throw Broken(fmt::format("it cannot be loaded: {}", e.what()));
  }
  const Session& session = *loaded;
  std::string why;
  if (!s.takes_part(session, &why)) throw NotClaimed(why);
  for (const OnnxCase::Data& set : c.sets) run_set(all, c, session, set);
}

}  // namespace

void add_onnx(std::vector<Case>& cases, const std::string& path) {
  const auto all = std::make_shared<const OnnxCases>(path);
  for (const OnnxCase& c : all->cases())
    cases.push_back({"operators", "onnx/" + c.name, [all, &c](Subject& s) { check_case(s, *all, c); }, true});
}

}  // namespace tenon::kit
