// query: every node is answered, always alike, whatever the graph looks like.
#include <fmt/format.h>

#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

// One node of each of these behind another, in float32: something for every provider to claim and to refuse.
Model chain(int length) {
  static const char* const ops[] = {"Relu", "Exp", "Neg", "Sigmoid", "Abs", "Tanh", "Floor", "Softmax", "Erf", "Identity"};
  Model m;
  m.input("v0", TENON_DTYPE_FLOAT, {-1, 8});
  for (int i = 0; i < length; ++i) {
    const std::string in = fmt::format("v{}", i), out = fmt::format("v{}", i + 1);
    if (i % 11 == 10) m.node("Add", {in, fmt::format("v{}", i - 1)}, {out});
    else m.node(ops[i % 10], {in}, {out});
  }
  return m.output(fmt::format("v{}", length));
}

std::vector<std::string> answers(const QueryRecord& record) {
  std::vector<std::string> sorted = record.answers;
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

// What query says when these models are loaded.
std::vector<QueryRecord> ask(Subject& s, const std::vector<Model>& models) {
  s.watch().queries.clear();
  for (const Model& m : models) (void)s.tested(m);
  return s.watch().queries;
}

std::vector<Model> models(Subject& s) {
  std::vector<Model> all{chain(30)};
  try {
    all.push_back(s.work().model);
  } catch (const NotClaimed&) {
  }
  return all;
}

void every_node_answered(Subject& s) {
  for (const QueryRecord& record : ask(s, models(s)))
    expect(record.unanswered.empty(),
           fmt::format("{} of {} nodes get neither a claim nor a refusal, the first is node {}", record.unanswered.size(),
                       record.nodes, record.unanswered.empty() ? 0 : record.unanswered[0]));
}

void same_answers(Subject& s) {
  const std::vector<Model> all = models(s);
  const auto first = ask(s, all), second = ask(s, all);
  expect(first.size() == second.size() && !first.empty(), "query is asked another number of times for the same models");
  for (std::size_t i = 0; i < first.size(); ++i) {
    const auto a = answers(first[i]), b = answers(second[i]);
    expect(a.size() == b.size(), fmt::format("{} answers, then {} for the same graph", a.size(), b.size()));
    for (std::size_t k = 0; k < a.size(); ++k)
      expect(a[k] == b[k], fmt::format("answers differ for the same graph:\n{}\n{}", a[k], b[k]));
  }
}

void longer_structs(Subject& s) {
  const std::vector<Model> all = models(s);
  const auto plain = ask(s, all);
  s.watch().stretch = true;
  const auto stretched = ask(s, all);
  expect(plain.size() == stretched.size(), "query is asked another number of times");
  for (std::size_t i = 0; i < plain.size(); ++i)
    expect(answers(plain[i]) == answers(stretched[i]),
           "query answers differently where a newer host has longer structs: walk spans by their stride");
}

void damaged_graphs(Subject& s) {
  const std::vector<Model> all = models(s);
  s.watch().disturb = true;
  for (const Model& m : all) (void)s.tested(m);
  s.watch().disturb = false;
  expect(s.watch().disturbed > 0, "query was not asked");
}

void many_nodes(Subject& s) {
  s.watch().queries.clear();
  (void)s.tested(chain(3000), {{"/session/optimize", "none"}});
  double seconds = 0;
  for (const QueryRecord& record : s.watch().queries) seconds = std::max(seconds, record.seconds);
  expect(seconds < 3, fmt::format("query takes {:.2f} s for 3000 nodes; at most 3 s are allowed", seconds));
}

void claims_compile(Subject& s) {
  // Core would place nodes elsewhere that are claimed and then not compiled: that is allowed, and should be rare.
  const Subject::Work work = s.work();
  const Session session = s.tested(work.model);
  expect(s.watch().alive.programs > 0, fmt::format("{}: claimed, but no program came of it", work.what));
  Subject::check(session, work, "what was claimed");
}

// What infer says of the outputs of one operator.
struct Inferred {
  std::vector<std::uint32_t> outputs;
  std::string wrong;
};
void take_output(tenon_infer_sink* sink, std::uint32_t index, std::int32_t dtype, std::int32_t rank, const std::int64_t* dims) {
  Inferred& out = *reinterpret_cast<Inferred*>(sink);
  out.outputs.push_back(index);
  if (dtype < 0 || rank < -1 || rank > 64) out.wrong = fmt::format("output {} gets dtype {} and rank {}", index, dtype, rank);
  else if (rank > 0 && !dims) out.wrong = fmt::format("output {} gets rank {} without dims", index, rank);
}

// Operators of the provider's own: what they say of themselves, and inference with as little knowledge as there can be.
void own_operators(Subject& s) {
  s.keep_loaded();
  s.begin();
  const tenon_provider_api& api = *s.watch().api;
  const auto* extension = static_cast<const tenon_schema_extension*>(
      api.get_extension ? api.get_extension(s.watch().provider, {"tenon.schema", 12}, 1) : nullptr);
  if (!extension) throw NotClaimed("it has no operators of its own");
  for (std::uint64_t i = 0; i < extension->schemas.count; ++i) {
    const auto& op = *reinterpret_cast<const tenon_op_schema*>(static_cast<const char*>(extension->schemas.data) +
                                                               i * extension->schemas.stride);
    const std::string name =
        fmt::format("{}.{}", std::string(op.domain.data, op.domain.size), std::string(op.op_type.data, op.op_type.size));
    expect(op.domain.size && op.op_type.size, fmt::format("operator {} of the schema has no domain or no name", i));
    expect(op.min_inputs <= op.max_inputs && op.min_outputs <= op.max_outputs, name + ": it needs more operands than it may have");
    expect(op.infer, name + ": it has no infer");
    for (const std::int32_t rank : {-1, 0, 1, 2, 4})
      for (const std::int32_t dtype : {TENON_DTYPE_FLOAT, TENON_DTYPE_INT64, TENON_DTYPE_UNDEFINED}) {
        const std::vector<std::int64_t> dims(4, TENON_UNKNOWN_DIM);
        const tenon_infer_input input{sizeof input, dtype, rank, 0, rank < 0 ? nullptr : dims.data(), nullptr};
        const std::vector<tenon_infer_input> inputs(std::max(op.min_inputs, 1u), input);
        std::vector<std::uint32_t> operands(inputs.size() + op.min_outputs);
        for (std::size_t k = 0; k < operands.size(); ++k) operands[k] = static_cast<std::uint32_t>(k);
        tenon_node node{};
        node.struct_size = sizeof node;
        node.form = 1;
        node.since_version = op.since_version;
        node.domain = op.domain, node.op_type = op.op_type;
        node.inputs = operands.data(), node.input_count = static_cast<std::uint32_t>(inputs.size());
        node.outputs = operands.data() + inputs.size(), node.output_count = op.min_outputs;
        node.attributes = {nullptr, 0, sizeof(tenon_attr), 0};
        Inferred out;
        const tenon_infer_args args{sizeof args, 0, &node, {inputs.data(), inputs.size(), sizeof(tenon_infer_input), 0},
                                    reinterpret_cast<tenon_infer_sink*>(&out), take_output};
        if (tenon_status* status = op.infer(s.watch().provider, &args)) {
          tenon_status_release(status);  // a refusal is an answer
          continue;
        }
        expect(out.wrong.empty(), fmt::format("{}: with inputs of rank {} and dtype {}: {}", name, rank, dtype, out.wrong));
        for (const std::uint32_t index : out.outputs)
          expect(index < op.max_outputs, fmt::format("{}: infer speaks of output {} of {}", name, index, op.max_outputs));
      }
  }
}

}  // namespace

void add_query(std::vector<Case>& cases) {
  const std::pair<const char*, void (*)(Subject&)> all[] = {{"every_node_answered", every_node_answered},
                                                            {"same_answers", same_answers},
                                                            {"longer_structs", longer_structs},
                                                            {"damaged_graphs", damaged_graphs},
                                                            {"own_operators", own_operators},
                                                            {"many_nodes", many_nodes},
                                                            {"claims_compile", claims_compile}};
  for (const auto& [name, body] : all) cases.push_back({"query", name, body});
}

}  // namespace tenon::kit
