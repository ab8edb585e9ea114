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

// The last of the seeds; where its row allows, operands hold special values besides.
constexpr std::uint64_t seeds = 3;

Drawn draw(const Row& row, std::int32_t dtype, std::uint64_t seed) {
  Random random(seed);
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
    Value value = o.values.empty() ? random_tensor(random, type, dims, o.lo, o.hi) : tensor_of(type, dims, o.values);
    if (o.numbers && type == TENON_DTYPE_STRING)
      value = tensor_of(type, dims, numbers_of(random_tensor(random, TENON_DTYPE_DOUBLE, dims, o.lo, o.hi)));
    if (seed == seeds && o.dtype == 0 && o.values.empty()) sprinkle_specials(random, value);
    if (o.constant) out.model.constant(name, value);
    else out.model.input(name, type, dims), out.feeds.push_back({name, value});
    inputs.push_back(name);
  }
  for (int i = 0; i < row.outputs; ++i) outputs.push_back(fmt::format("y{}", i));
  out.model.node(row.op, inputs, outputs, row.attributes, row.domain);
  for (const std::string& name : outputs) out.model.output(name);
  return out;
}

// What came of the rows of one operator and type.
struct Tried {
  bool valid = false, claimed = false;
  bool unknown = false;     // the provider has no such operator
  bool impossible = false;  // the operator has no such type, in no row of it
  std::string why;  // not claimed
};

std::string text_of(const Row& row, const Drawn& drawn) {
  std::string text = row.op;
  for (const Feed& f : drawn.feeds) text += fmt::format(" {}[{}]", tenon_dtype_name(f.value.dtype()), fmt::join(f.value.dims(), ","));
  return text;
}

// Whether there is more to learn of this row.
bool check_row(Subject& s, const Row& row, std::int32_t dtype, std::uint64_t seed, Tried& tried) {
  const Drawn drawn = draw(row, dtype, seed);
  std::optional<Session> session;
  try {
    session = s.tested(drawn.model);
  } catch (const Error& e) {
    if (!s.asked() && e.code() == TENON_INVALID_ARGUMENT) {
      tried.impossible = true;
      return false;
    }
    try {
      (void)Subject::oracle(drawn.model);
    } catch (const Error& of_oracle) {
      if (of_oracle.code() == TENON_INTERNAL || of_oracle.code() == TENON_UNKNOWN)
        throw Broken(fmt::format("the oracle fails: {}", of_oracle.what()));
      return false;  // no such operator and type
    }
    throw Broken(fmt::format("{}: it cannot be loaded: {}", row.op, e.what()));
  }
  if (!s.claims(*session, &tried.why)) {
    tried.valid = true;
    tried.unknown |= s.has_no(row.op);
    return false;
  }
  std::vector<Value> expected;
  std::optional<Session> oracle;
  try {
    oracle = Subject::oracle(drawn.model);
  } catch (const Error& e) {
    if (e.code() == TENON_INTERNAL || e.code() == TENON_UNKNOWN) throw;
    return false;  // the provider takes more than the standard has: there is nothing to hold it against
  }
  tried.valid = true;
  try {
    for (const Feed& f : run(*oracle, drawn.feeds)) expected.push_back(f.value);
  } catch (const Error&) {
    if (dtype == TENON_DTYPE_STRING) return false;  // words that mean nothing to this operator
    throw;
  }
  tried.claimed = true;
  const Outputs got = run(*session, drawn.feeds);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const std::string text = difference(got[i], expected[i], row.moves ? 0 : row.tolerance, row.whole_steps);
    expect(text.empty(), fmt::format("{}, seed {}, output {}: {}", text_of(row, drawn), seed, i, text));
  }
  return true;
}

void check_operator(Subject& s, const std::string& op, std::int32_t dtype) {
  Tried tried;
  for (const Row& row : operator_rows())
    if (row.op == op)
      for (std::uint64_t seed = 1; seed <= (row.specials && is_float(dtype) ? seeds : seeds - 1); ++seed)
        if (tried.unknown || tried.impossible || !check_row(s, row, dtype, seed, tried)) break;
  if (!tried.valid) throw NoCase();
  if (!tried.claimed && tried.why.empty()) throw NoCase();
  if (!tried.claimed) throw NotClaimed(tried.why);
}

}  // namespace

void add_operators(std::vector<Case>& cases) {
  std::vector<std::string> ops;
  for (const Row& row : operator_rows())
    if (std::find(ops.begin(), ops.end(), row.op) == ops.end()) ops.push_back(row.op);
  for (const std::string& op : ops)
    for (const std::int32_t dtype : swept_dtypes())
      cases.push_back({"operators", fmt::format("{}/{}", op, tenon_dtype_name(dtype)),
                       [op, dtype](Subject& s) { check_operator(s, op, dtype); }, true});
}

}  // namespace tenon::kit
