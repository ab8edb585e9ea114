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

}  // namespace

void add_query(std::vector<Case>& cases) {
  const std::pair<const char*, void (*)(Subject&)> all[] = {
      {"every_node_answered", every_node_answered}, {"same_answers", same_answers}, {"longer_structs", longer_structs},
      {"damaged_graphs", damaged_graphs},           {"many_nodes", many_nodes},     {"claims_compile", claims_compile}};
  for (const auto& [name, body] : all) cases.push_back({"query", name, body});
}

}  // namespace tenon::kit
