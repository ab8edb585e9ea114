// tenon compile: a model and what providers make of it, as one file to ship.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sdk/cli/commands.h"
#include "sdk/cli/inputs.h"
#include "sdk/cli/session_args.h"
#include "sdk/cli/table.h"

namespace tenon::cli {
namespace {

struct Compile {
  SessionArgs session;
  std::vector<std::string> sizes;
  std::string output, format = "table";
  bool add = false, no_packed = false, allow = false, show = false, json = false;

  int operator()() const {
    if (allow + show + add > 1) throw Failure{usage, "--add, --allow and --show exclude each other"};
    if ((allow || show) && !output.empty()) throw Failure{usage, "--output: nothing is written by --allow and --show"};
    if (allow) allow_bundle(session.model);
    if (allow || show) {
      print(Json::parse(bundle_json(session.model)));
      return ok;
    }
    if (output.empty() && !add) throw Failure{usage, "--output FILE is expected: where the bundle shall be written"};
    const std::string path = output.empty() ? session.model : output;
    Config config = session.configuration();
    Inputs named;
    named.sizes = sizes;
    for (const auto& [name, size] : named.named_sizes()) config.set("/shapes/" + pointer_part(name), fmt::format("{{\"opt\": {}}}", size));
    std::string report;
    session.load(config, "compiling " + session.model, [&](const SessionOptions& options) {
      report = compile_bundle(session.model, path, options, (add ? TENON_COMPILE_ADD : 0) | (no_packed ? TENON_COMPILE_NO_PACKED : 0));
    });
    print(Json::parse(report));
    return ok;
  }

  void print(const Json& r) const {
    if (json || format == "json") {
      fmt::print("{}\n", r.dump(2));
      return;
    }
    const auto bytes = [](const Json& n) { return bytes_text(n.get<double>()); };
    fmt::print("{}: {}, of which the model {} and its weights {}\n\n", r["path"].get<std::string>(), bytes(r["bytes"]), bytes(r["model_bytes"]), bytes(r["weight_bytes"]));
    Table table({{"stored for"}, {"version"}, {"device"}, {"artifacts", true}, {"", true}, {"packed weights", true}, {"", true}, {"new", true}});
    for (const Json& t : r["targets"])
      table.row({t["provider"].get<std::string>(), t["version"].get<std::string>(), t["fingerprint"].get<std::string>(),
                 std::to_string(t["artifacts"].get<std::uint64_t>()), bytes(t["artifact_bytes"]), std::to_string(t["packed"].get<std::uint64_t>()),
                 bytes(t["packed_bytes"]), std::to_string(t["added"].get<std::uint64_t>())});
    if (table.empty()) fmt::print("no provider stored anything: sessions load it as they load the model\n");
    else fmt::print("{}", table.text());
    for (const Json& t : r["targets"])
      for (const Json& m : t["made"]) fmt::print("\n{} by {}\n", t["provider"].get<std::string>(), m.dump());
    if (!r["usable"].get<bool>()) fmt::print("\nwhat it stores is not used here: {}\n", r["why_not"].get<std::string>());
    for (const Json& n : r["notes"]) fmt::print("note: {}\n", n.get<std::string>());
  }
};

}  // namespace

void add_compile(CLI::App& app, int& result) {
  auto compile = std::make_shared<Compile>();
  CLI::App* sub = app.add_subcommand(
      "compile", "write a model, its weights and what providers make of it as one file (.tnb) that loads like the model");
  compile->session.add_to(*sub, true, false);
  sub->add_option("-o,--output", compile->output, "the bundle to write; with --add the default is the bundle itself");
  sub->add_option("-d,--dim", compile->sizes, "the size that a named dimension is compiled for first: NAME=N, as /shapes/NAME/opt");
  sub->add_flag("--add", compile->add, "the model is a bundle: keep what it stores and add what this machine and configuration need");
  sub->add_flag("--no-packed", compile->no_packed, "leave packed weights out: a smaller file that takes longer to load");
  sub->add_flag("--show", compile->show, "say what is in a bundle, write nothing");
  sub->add_flag("--allow", compile->allow, "let providers have what a bundle from elsewhere stores, which may be machine code, from now on");
  sub->add_flag("--json", compile->json, "as JSON");
  sub->add_option("--format", compile->format, "table or json")->check(CLI::IsMember({"table", "json"}));
  sub->callback([compile, &result] { result = guarded(*compile); });
}

}  // namespace tenon::cli
