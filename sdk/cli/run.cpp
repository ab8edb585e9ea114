// tenon run: one run of a model, its outputs on the terminal or in files.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sdk/cli/commands.h"
#include "sdk/cli/inputs.h"
#include "sdk/cli/npy.h"
#include "sdk/cli/session_args.h"
#include "sdk/cli/table.h"

namespace tenon::cli {
namespace {

struct Summary {
  double least = 0, greatest = 0, mean = 0;
  std::size_t odd = 0;  // not finite
  std::string first;
};

template <class T>
Summary summary_of(std::span<const T> x) {
  Summary s;
  double sum = 0;
  std::size_t finite = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double v = static_cast<double>(x[i]);
    if (i < 4) s.first += fmt::format("{}{:.6g}", i ? " " : "", v);
    if (!std::isfinite(v)) {
      ++s.odd;
      continue;
    }
    s.least = finite ? std::min(s.least, v) : v;
    s.greatest = finite ? std::max(s.greatest, v) : v;
    sum += v;
    ++finite;
  }
  s.mean = finite ? sum / static_cast<double>(finite) : 0;
  if (x.size() > 4) s.first += " ...";
  return s;
}

std::optional<Summary> summary_of(const Value& v) {
  if (v.kind() != TENON_KIND_TENSOR) return std::nullopt;
  switch (v.dtype()) {
    case TENON_DTYPE_FLOAT: return summary_of(v.data<float>());
    case TENON_DTYPE_DOUBLE: return summary_of(v.data<double>());
    case TENON_DTYPE_INT64: return summary_of(v.data<std::int64_t>());
    case TENON_DTYPE_INT32: return summary_of(v.data<std::int32_t>());
    case TENON_DTYPE_INT16: return summary_of(v.data<std::int16_t>());
    case TENON_DTYPE_INT8: return summary_of(v.data<std::int8_t>());
    case TENON_DTYPE_UINT8: return summary_of(v.data<std::uint8_t>());
    case TENON_DTYPE_UINT16: return summary_of(v.data<std::uint16_t>());
    case TENON_DTYPE_UINT32: return summary_of(v.data<std::uint32_t>());
    case TENON_DTYPE_UINT64: return summary_of(v.data<std::uint64_t>());
    case TENON_DTYPE_BOOL: return summary_of(v.data<bool>());
    default: return std::nullopt;
  }
}

struct Run {
  SessionArgs session;
  Inputs inputs;
  std::vector<std::string> names;
  std::string output, format = "table";
  double timeout = 0;

  int operator()() const {
    const Session s = session.open();
    for (const std::string& name : names) check_name("--output-name", name, s.outputs(), "gives");
    const std::vector<Feed> feeds = inputs.make(s);
    RunOptions options;
    options.stop = interrupt();
    options.timeout = std::chrono::nanoseconds(static_cast<std::int64_t>(timeout * 1e9));
    const auto start = std::chrono::steady_clock::now();
    const Outputs out = s.run(feeds, names, options);
    const double ns = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
    if (!output.empty()) save(out);
    if (format == "json") print_json(feeds, out, ns);
    else print_table(out, ns);
    return ok;
  }

  void save(const Outputs& out) const {
    if (output.ends_with(".npz")) {
      const std::vector<Feed> all(out.begin(), out.end());
      write_npz(output, all);
      return;
    }
    std::error_code fault;
    std::filesystem::create_directories(output, fault);
    if (fault) throw Failure{failed, fmt::format("cannot write \"{}\": {}", output, fault.message())};
    for (const Feed& f : out) {
      std::string file = f.name;
      std::replace(file.begin(), file.end(), '/', '_');
      write_npy(std::filesystem::path(output) / (file + ".npy"), f.value);
    }
  }

  static void print_table(const Outputs& out, double ns) {
    Table table({{"output"}, {"value"}, {"min", true}, {"mean", true}, {"max", true}, {"first elements"}});
    for (const Feed& f : out) {
      const auto s = summary_of(f.value);
      if (!s) {
        std::string first;
        if (f.value.dtype() == TENON_DTYPE_STRING && f.value.kind() == TENON_KIND_TENSOR)
          for (std::size_t i = 0; i < std::min<std::size_t>(4, f.value.count()); ++i) first += fmt::format("{}\"{}\"", i ? " " : "", f.value.string(i));
        table.row({f.name, shape_text(f.value), "", "", "", first});
        continue;
      }
      table.row({f.name, shape_text(f.value), fmt::format("{:.4g}", s->least), fmt::format("{:.4g}", s->mean), fmt::format("{:.4g}", s->greatest),
                 s->first + (s->odd ? fmt::format("  ({} not finite)", s->odd) : "")});
    }
    fmt::print("{}", table.text());
    fmt::print(stderr, "first run: {}\n", time_text(ns));
  }

  static void print_json(const std::vector<Feed>& feeds, const Outputs& out, double ns) {
    const auto list = [](const auto& values) {
      Json all = Json::array();
      for (const Feed& f : values) {
        Json one = {{"name", f.name}, {"dtype", tenon_dtype_name(f.value.dtype())}, {"dims", f.value.dims()}};
        if (const auto s = summary_of(f.value)) one.update({{"min", s->least}, {"mean", s->mean}, {"max", s->greatest}, {"not_finite", s->odd}});
        all.push_back(std::move(one));
      }
      return all;
    };
    fmt::print("{}\n", Json{{"inputs", list(feeds)}, {"outputs", list(out)}, {"first_run_ns", ns}}.dump(2));
  }
};

}  // namespace

void add_run(CLI::App& app, int& result) {
  auto run = std::make_shared<Run>();
  CLI::App* sub = app.add_subcommand("run", "run a model once");
  run->session.add_to(*sub);
  run->inputs.add_to(*sub);
  sub->add_option("--output-name", run->names, "only these outputs");
  sub->add_option("-O,--output", run->output, "write the outputs: FILE.npz, or a folder of .npy files");
  sub->add_option("--timeout", run->timeout, "give up after so many seconds")->check(CLI::NonNegativeNumber);
  sub->add_option("--format", run->format, "table or json")->check(CLI::IsMember({"table", "json"}));
  sub->callback([run, &result] { result = guarded(*run); });
}

}  // namespace tenon::cli
