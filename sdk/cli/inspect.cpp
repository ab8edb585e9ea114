// tenon inspect: what a model takes, gives and consists of.
#include <algorithm>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sdk/cli/commands.h"
#include "sdk/cli/inputs.h"
#include "sdk/cli/session_args.h"
#include "sdk/cli/table.h"

namespace tenon::cli {
namespace {

struct Inspect {
  SessionArgs session;
  std::string format = "table";
  bool graph = false, missing = false;

  // Operators that nothing runs, with the first node of each and every provider's reason. As it would run: after the rewrites.
  int missing_operators() const {
    Config config = session.configuration();
    config.set("/placement/on_unsupported", "report");
    const Json placement = Json::parse(session.open(config).placement_json());
    std::map<std::string, Json> found;
    for (const Json& n : placement["nodes"]) {
      if (n["provider"] != "none") continue;
      const std::string domain = n["domain"].get<std::string>(), op = (domain.empty() ? "" : domain + ".") + n["op_type"].get<std::string>();
      Json& entry = found[op];
      if (entry.is_null()) entry = {{"op", op}, {"nodes", 0}, {"first", n["name"]}, {"why", n["refusals"]}};
      entry["nodes"] = entry["nodes"].get<int>() + 1;
    }
    if (format == "json") {
      Json list = Json::array();
      for (auto& [op, entry] : found) list.push_back(entry);
      fmt::print("{}\n", list.dump(2));
    } else if (found.empty()) {
      fmt::print("nothing is missing: all {} nodes have a kernel or are run by core\n", placement["nodes"].size());
    } else {
      Table table({{"operator"}, {"nodes", true}, {"first node"}, {"why"}});
      for (auto& [op, entry] : found) {
        std::string why;
        for (const Json& r : entry["why"]) why += (why.empty() ? "" : "; ") + r["provider"].get<std::string>() + ": " + r["text"].get<std::string>();
        table.row({op, std::to_string(entry["nodes"].get<int>()), entry["first"].get<std::string>(), why});
      }
      fmt::print("{}", table.text());
    }
    return found.empty() ? ok : bad_model;
  }

  int operator()() const {
    if (missing) return missing_operators();
    Config config = session.configuration();
    // As the model was written, not as it will run; --graph shows what the rewrites made of it.
    if (!graph && session.settings.empty()) config.set("/session/optimize", "none");
    const Session s = session.open(config);
    const Json model = Json::parse(s.model_json()), nodes = Json::parse(s.placement_json())["nodes"];
    std::map<std::string, int> ops;
    for (const Json& n : nodes) {
      const std::string domain = n["domain"].get<std::string>();
      ++ops[(domain.empty() ? "" : domain + ".") + n["op_type"].get<std::string>()];
    }
    if (graph) {
      if (format == "json") fmt::print("{}\n", Json{{"graph", s.graph_text()}}.dump(2));
      else fmt::print("{}", s.graph_text());
      return ok;
    }
    if (format == "json") {
      const auto ports = [](const std::vector<Port>& list) {
        Json all = Json::array();
        for (const Port& p : list) {
          Json dims = Json::array();
          for (std::size_t d = 0; p.dims && d < p.dims->size(); ++d) {
            if ((*p.dims)[d] >= 0) dims.push_back((*p.dims)[d]);
            else if (p.dim_names[d].empty()) dims.push_back(nullptr);
            else dims.push_back(std::string(p.dim_names[d]));
          }
          all.push_back({{"name", p.name}, {"type", p.type}, {"dims", p.dims ? dims : Json()}, {"optional", p.optional}});
        }
        return all;
      };
      Json out = model;
      out["inputs"] = ports(s.inputs());
      out["outputs"] = ports(s.outputs());
      out["ops"] = ops;
      fmt::print("{}\n", out.dump(2));
      return ok;
    }
    Table about({{"model"}, {session.model}});
    const auto add = [&](const char* title, const char* key) {
      if (const std::string text = model.value(key, ""); !text.empty()) about.row({title, text});
    };
    about.row({"IR version", std::to_string(model["ir_version"].get<int>())});
    for (const auto& [domain, version] : model["opsets"].items()) about.row({"opset", fmt::format("{} {}", domain.empty() ? "ai.onnx" : domain, version.get<int>())});
    if (const std::string name = model.value("producer_name", ""); !name.empty())
      about.row({"producer", name + " " + model.value("producer_version", "")});
    add("graph", "graph_name");
    add("description", "description");
    about.row({"nodes", std::to_string(nodes.size())});
    about.row({"weights", bytes_text(model["weight_bytes"].get<double>())});
    for (const auto& [key, value] : model["metadata"].items()) about.row({"metadata " + key, value.get<std::string>().substr(0, 80)});
    fmt::print("{}\n", about.text());
    Table ports({{"port"}, {"name"}, {"type"}});
    for (const Port& p : s.inputs()) ports.row({p.optional ? "input (optional)" : "input", std::string(p.name), port_text(p)});
    for (const Port& p : s.outputs()) ports.row({"output", std::string(p.name), port_text(p)});
    fmt::print("{}\n", ports.text());
    std::vector<std::pair<std::string, int>> sorted(ops.begin(), ops.end());
    std::stable_sort(sorted.begin(), sorted.end(), [](auto& a, auto& b) { return a.second > b.second; });
    Table counts({{"operator"}, {"nodes", true}});
    for (auto& [op, n] : sorted) counts.row({op, std::to_string(n)});
    fmt::print("{}", counts.text());
    return ok;
  }
};

}  // namespace

void add_inspect(CLI::App& app, int& result) {
  auto inspect = std::make_shared<Inspect>();
  CLI::App* sub = app.add_subcommand("inspect", "show a model's inputs, outputs, operators and metadata");
  inspect->session.add_to(*sub);
  sub->add_flag("--graph", inspect->graph, "print the whole graph as it will run");
  sub->add_flag("--ops-missing", inspect->missing, "list the operators that no provider runs, and why; exit code 3 when there are any");
  sub->add_option("--format", inspect->format, "table or json")->check(CLI::IsMember({"table", "json"}));
  sub->callback([inspect, &result] { result = guarded(*inspect); });
}

}  // namespace tenon::cli
