#include "sdk/cli/probe.h"

#include <cmath>
#include <csignal>
#include <cstdio>
#include <sstream>

#include <fmt/format.h>

#include "core/base/child_process.h"
#include "sdk/cli/small_model.h"

namespace tenon::cli {
namespace {

constexpr double tolerance = 2e-3;  // of the greatest value: devices may compute in less than float32's precision, not in garbage

const std::vector<SmallModel>& smoke_models() {
  static const std::vector<SmallModel> models = {
      {"MatMul", {{{17, 33}}, {{33, 24}, true}}, {}},
      {"Conv", {{{1, 3, 13, 13}}, {{8, 3, 3, 3}, true}}, {{"pads", {1, 1, 1, 1}}}},
      {"Add", {{{5, 7}}, {{5, 7}}}, {}},
      {"Relu", {{{3, 19}}}, {}},
      {"Softmax", {{{4, 21}}}, {}},
      {"Add", {{{6}}, {{6}}}, {}, TENON_DTYPE_INT64},
  };
  return models;
}

void say(const Json& line) {
  fmt::print("{}\n", line.dump(-1, ' ', false, Json::error_handler_t::replace));
  std::fflush(stdout);  // what is said must not be lost with the process
}

Session open(const SmallModel& model, Config config, const char* name, const std::string& device, const char* options) {
  config.clear_providers();
  config.set("/placement/on_unsupported", "error").set("/placement/costs", "");
  config.add_provider(name, options, device);
  const std::string bytes = model.bytes();
  SessionOptions with;
  with.configuration = std::move(config);
  return Session(std::as_bytes(std::span(bytes)), with);
}

// The greatest difference in units of the greatest reference value; infinite where shape or type differ, or a number is none.
double difference(const Value& a, const Value& b) {
  if (a.dtype() != b.dtype() || a.count() != b.count()) return INFINITY;
  double worst = 0, scale = 1e-30;
  const auto each = [&](auto x, auto y) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double u = static_cast<double>(x[i]), v = static_cast<double>(y[i]);
      scale = std::max(scale, std::abs(v));
      worst = std::isfinite(u) ? std::max(worst, std::abs(u - v)) : INFINITY;
    }
  };
  if (a.dtype() == TENON_DTYPE_FLOAT) each(a.data<float>(), b.data<float>());
  else each(a.data<std::int64_t>(), b.data<std::int64_t>());
  return worst / scale;
}

std::string label(const SmallModel& m) {
  return m.op + (m.dtype == TENON_DTYPE_FLOAT ? "" : std::string(" ") + tenon_dtype_name(m.dtype));
}

Json smoke_test(const SmallModel& model, const Config& config, const std::string& provider, const std::string& device) {
  Json out = {{"op", label(model)}, {"state", "ok"}, {"text", ""}, {"ns", 0}};
  const auto end = [&](const char* state, std::string text) {
    out["state"] = state, out["text"] = std::move(text);
    return out;
  };
  try {
    const Session session = open(model, config, provider.c_str(), device, "{}");
    const std::vector<Feed> feeds = model.feeds();
    (void)session.run(feeds);
    const auto start = std::chrono::steady_clock::now();
    const Outputs made = session.run(feeds);
    out["ns"] = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
    const double off = difference(made[0], open(model, config, "cpu", "", "{\"plain\": true}").run(feeds)[0]);
    if (!(off <= tolerance)) return end("wrong", fmt::format("off by {:.3g} of the greatest value, {:g} is allowed", off, tolerance));
  } catch (const Error& e) {
    return end(e.code() == TENON_UNIMPLEMENTED ? "refused" : "failed", e.what());
  }
  return out;
}

}  // namespace

int probe_here(const SessionArgs& args, const std::string& provider) {
  say({{"stage", "reading the configuration"}});
  const Config config = args.configuration();
  say({{"stage", "loading"}});
  Json found;
  try {
    found = Json::parse(
        detail::text(&tenon_provider_devices, provider.c_str(), static_cast<const tenon_configuration*>(config.handle())));
  } catch (const Error& e) {
    say({{"failed", e.what()}, {"code", tenon_code_name(e.code())}});
    return no_provider;
  }
  say({{"provider", found}});
  for (const Json& device : found["devices"]) {
    const std::string uid = device["uid"].get<std::string>();
    for (const SmallModel& model : smoke_models()) {
      say({{"stage", fmt::format("{} on device {}", label(model), uid)}});
      say({{"test", smoke_test(model, config, provider, uid)}, {"device", uid}});
    }
  }
  say({{"stage", "closing"}});
  return ok;
}

Json probe(const SessionArgs& args, const std::string& provider, std::chrono::milliseconds limit) {
  std::vector<std::string> command = {"/proc/self/exe", "doctor", "--probe", provider};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) command.insert(command.end(), {name, value});
  };
  for (const std::string& path : args.provider_paths) add("--provider-path", path);
  for (const std::string& setting : args.settings) add("--set", setting);
  add("--config", args.config);
  ChildOptions options;
  options.silence = limit;  // it writes a line before and after each step
  options.limit = 10 * limit;
  const ChildResult child = run_child(command, options);

  Json out = {{"state", "ok"},       {"text", ""},
              {"stage", "starting"}, {"version", ""},
              {"path", ""},          {"devices", Json::array()},
              {"output", child.err}, {"ns", 1e6 * static_cast<double>(child.time.count())},
              {"died", false}};
  bool complete = false, wrong = false;
  std::string failure, faults;
  std::istringstream lines(child.out);
  for (std::string text; std::getline(lines, text);) {
    const Json line = Json::parse(text, nullptr, false);
    if (!line.is_object()) {
      out["output"] = out["output"].get<std::string>() + text + "\n";  // the provider's own
    } else if (line.contains("stage")) {
      out["stage"] = line["stage"];
      complete = line["stage"] == "closing";
    } else if (line.contains("failed")) {
      failure = line["failed"].get<std::string>();
    } else if (line.contains("provider")) {
      out["version"] = line["provider"].value("version", ""), out["path"] = line["provider"].value("path", "");
      for (Json device : line["provider"]["devices"]) {
        device["tests"] = Json::array();
        out["devices"].push_back(std::move(device));
      }
    } else if (line.contains("test")) {
      for (Json& device : out["devices"])
        if (device["uid"] == line["device"]) device["tests"].push_back(line["test"]);
      const std::string state = line["test"].value("state", "");
      wrong |= state == "wrong" || state == "failed";
      if (state == "wrong" || state == "failed")
        faults += fmt::format("{}{} on {}: {}", faults.empty() ? "" : "; ", line["test"].value("op", ""),
                              line["device"].get<std::string>(), line["test"].value("text", ""));
    }
  }
  const auto end = [&](const char* state, std::string text) {
    out["state"] = state, out["text"] = std::move(text);
    return out;
  };
  const std::string where = out["stage"].get<std::string>();
  // By its own doing, as far as one can tell.
  const bool begun = where != "starting" && where != "reading the configuration";
  out["died"] = begun && failure.empty() &&
                ((child.end == ChildResult::End::signalled && child.code != SIGKILL) || (child.end == ChildResult::End::exited && (!complete || child.code != 0)));
  if (child.end == ChildResult::End::timed_out) return end("hung", fmt::format("{} while {}", child.text(), where));
  if (child.end == ChildResult::End::signalled) return end("crashed", fmt::format("{} while {}", child.text(), where));
  if (child.end == ChildResult::End::not_started) return end("failed", child.text());
  if (!failure.empty()) return end("failed", failure);
  if (!complete || child.code != 0)
    return end("crashed",
               fmt::format("its process {} while {}{}", child.text(), where, child.err.empty() ? "" : ": " + child.err));
  if (wrong) return end("wrong", faults);
  return out;
}

}  // namespace tenon::cli
