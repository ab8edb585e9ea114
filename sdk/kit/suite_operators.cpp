// operators: single nodes of every operator and element type that the provider claims, beside the CPU provider's scalar loops.
#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "sdk/kit/operator_table.h"
#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

struct Drawn {
  Model model;
  std::vector<Feed> feeds;
};

Drawn draw(const Row& row, std::int32_t dtype, Random& random) {
  Drawn out;
  std::map<std::int64_t, std::int64_t> sizes;
  const auto size_of = [&](std::int64_t d) {
    if (d >= 0) return d;
    const auto [known, fresh] = sizes.emplace(d, 0);
    if (fresh) known->second = static_cast<std::int64_t>(random() % 9 + 1);
    return known->second;
  };
  std::vector<std::string> inputs, outputs;
  for (const Operand& o : row.operands) {
    if (o.omitted) {
      inputs.emplace_back();
      continue;
    }
    const std::string name = fmt::format("x{}", inputs.size());
    Dims dims;
    for (const std::int64_t d : o.dims) dims.push_back(size_of(d));
    const std::int32_t type = o.dtype ? o.dtype : dtype;
    const Value value = o.values.empty() ? random_tensor(random, type, dims, o.lo, o.hi) : tensor_of(type, dims, o.values);
    if (o.constant) out.model.constant(name, value);
    else out.model.input(name, type, dims), out.feeds.push_back({name, value});
    inputs.push_back(name);
  }
  for (int i = 0; i < row.outputs; ++i) outputs.push_back(fmt::format("y{}", i));
  out.model.node(row.op, inputs, outputs, row.attributes, row.domain);
  for (const std::string& name : outputs) out.model.output(name);
  return out;
}

void check_row(Subject& s, const Row& row, std::int32_t dtype, std::uint64_t seed, bool& valid, bool& claimed, std::string& why) {
  Random random(seed);
  const Drawn drawn = draw(row, dtype, random);
  std::optional<Session> session;
  try {
    session = s.tested(drawn.model);
  } catch (const Error& e) {
    try {
      (void)Subject::oracle(drawn.model);
    } catch (const Error& of_oracle) {
      if (of_oracle.code() == TENON_INTERNAL || of_oracle.code() == TENON_UNKNOWN)
        throw Broken(fmt::format("the oracle fails: {}", of_oracle.what()));
      return;  // no such operator and type
    }
    throw Broken(fmt::format("{}: it cannot be loaded: {}", row.op, e.what()));
  }
  valid = true;
  if (!s.claims(*session, &why)) return;
  claimed = true;
  std::vector<Value> expected;
  for (const Feed& f : run(Subject::oracle(drawn.model), drawn.feeds)) expected.push_back(f.value);
  const Outputs got = run(*session, drawn.feeds);
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (const std::string text = difference(got[i], expected[i], row.tolerance, row.whole_steps); !text.empty()) {
      std::string dims;
      for (const Feed& f : drawn.feeds)
        dims += fmt::format(" {}[{}]", tenon_dtype_name(f.value.dtype()), fmt::join(f.value.dims(), ","));
      throw Broken(fmt::format("{}:{}, seed {}, output {}: {}", row.op, dims, seed, i, text));
    }
}

}  // namespace

void add_operators(std::vector<Case>& cases) {
  std::vector<std::string> ops;
  for (const Row& row : operator_rows())
    if (std::find(ops.begin(), ops.end(), row.op) == ops.end()) ops.push_back(row.op);
  for (const std::string& op : ops)
    for (const std::int32_t dtype : swept_dtypes())
      cases.push_back({"operators", fmt::format("{}/{}", op, tenon_dtype_name(dtype)), [op, dtype](Subject& s) {
                         bool valid = false, claimed = false;
                         std::string why;
                         for (const Row& row : operator_rows())
                           if (row.op == op)
                             for (const std::uint64_t seed : {1, 2}) check_row(s, row, dtype, seed, valid, claimed, why);
                         if (!valid) throw NoCase();
                         if (!claimed) throw NotClaimed(why);
                       }, true});
}

}  // namespace tenon::kit
