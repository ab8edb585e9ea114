// The three forms of a report.
#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sdk/kit/kit.h"

namespace tenon::kit {
namespace {

constexpr Verdict all_verdicts[] = {Verdict::pass,      Verdict::fail,    Verdict::crash,      Verdict::timeout,
                                    Verdict::stale_skip, Verdict::skipped, Verdict::not_claimed, Verdict::no_device};

std::vector<std::string> suites_of(const Report& report) {
  std::vector<std::string> out;
  for (const Entry& e : report.entries)
    if (std::find(out.begin(), out.end(), e.suite) == out.end()) out.push_back(e.suite);
  return out;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '&') out += "&amp;";
    else if (c == '"') out += "&quot;";
    else out += c;
  }
  return out;
}

std::string counts(const Report& report, const std::string& suite) {
  std::string out;
  for (const Verdict v : all_verdicts)
    if (const std::size_t n = report.count(v, suite); n || v == Verdict::pass)
      out += fmt::format("{}{} {}", out.empty() ? "" : ", ", n, name_of(v));
  return out;
}

}  // namespace

std::size_t Report::count(Verdict verdict, const std::string& suite) const {
  return static_cast<std::size_t>(std::count_if(entries.begin(), entries.end(), [&](const Entry& e) {
    return e.outcome.verdict == verdict && (suite.empty() || e.suite == suite);
  }));
}

bool Report::failed() const {
  return std::any_of(entries.begin(), entries.end(), [](const Entry& e) { return is_failure(e.outcome.verdict); });
}

std::string Report::text() const {
  std::string out = fmt::format("provider {} {}  {}\n", id, version, library);
  for (const std::string& d : devices) out += fmt::format("  device {}\n", d);
  if (!problem.empty()) out += fmt::format("  {}\n  only what needs no device was run\n", problem);
  for (const Entry& e : entries) {
    if (!is_failure(e.outcome.verdict)) continue;
    out += fmt::format("\n{}/{}: {}\n", e.suite, e.name, name_of(e.outcome.verdict));
    std::string indented = "  ";
    for (const char c : e.outcome.text) indented += c == '\n' ? std::string("\n  ") : std::string(1, c);
    out += indented + "\n";
  }
  out += "\n";
  for (const std::string& suite : suites_of(*this)) out += fmt::format("{:<12} {}\n", suite, counts(*this, suite));
  out += fmt::format("{:<12} {}, {:.1f} s\n", "all", counts(*this, ""), seconds);
  return out;
}

std::string Report::json() const {
  using Json = nlohmann::ordered_json;
  Json out{{"provider", {{"id", id}, {"version", version}, {"library", library}, {"manifest", manifest}}},
           {"tenon", tenon_version}, {"devices", devices}, {"problem", problem}, {"passed", !failed()}, {"seconds", seconds}};
  Json& totals = out["counts"] = Json::object();
  for (const Verdict v : all_verdicts) totals[name_of(v)] = count(v);
  Json& list = out["cases"] = Json::array();
  for (const Entry& e : entries) {
    Json j{{"suite", e.suite}, {"name", e.name}, {"verdict", name_of(e.outcome.verdict)}, {"seconds", e.outcome.seconds}};
    if (!e.outcome.text.empty()) j["text"] = e.outcome.text;
    if (!e.skip_reason.empty()) j["skip_reason"] = e.skip_reason;
    list.push_back(std::move(j));
  }
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string Report::html() const {
  std::string out = fmt::format(R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{0} {1}: conformance</title><style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 70em; color: #222; }}
table {{ border-collapse: collapse; width: 100%; }} td, th {{ text-align: left; padding: .2em .6em; border-bottom: 1px solid #ddd; vertical-align: top; }}
pre {{ white-space: pre-wrap; margin: 0; font-size: 12px; }} .bad {{ color: #a00; font-weight: 600; }} .good {{ color: #060; }} .other {{ color: #777; }}
summary {{ cursor: pointer; font-size: 1.1em; margin: .6em 0; }}
</style></head><body><h1>{0} {1}</h1><p>{2}<br>tenon {3}, {4:.1f} s</p>
)",
                                escaped(id), escaped(version), escaped(library), escaped(tenon_version), seconds);
  for (const std::string& d : devices) out += fmt::format("<p>device {}</p>\n", escaped(d));
  if (!problem.empty()) out += fmt::format("<p class=\"bad\">{}; only what needs no device was run</p>\n", escaped(problem));
  out += fmt::format("<p class=\"{}\">{}: {}</p>\n", failed() ? "bad" : "good", failed() ? "It fails" : "It passes", counts(*this, ""));
  for (const std::string& suite : suites_of(*this)) {
    const bool bad = std::any_of(entries.begin(), entries.end(),
                                 [&](const Entry& e) { return e.suite == suite && is_failure(e.outcome.verdict); });
    out += fmt::format(
        "<details{}><summary class=\"{}\">{}: {}</summary><table><tr><th>case</th><th>result</th><th>ms</th><th></th></tr>\n",
        bad ? " open" : "", bad ? "bad" : "good", escaped(suite), counts(*this, suite));
    for (const Entry& e : entries) {
      if (e.suite != suite) continue;
      const char* look = is_failure(e.outcome.verdict) ? "bad" : e.outcome.verdict == Verdict::pass ? "good" : "other";
      out += fmt::format("<tr><td>{}</td><td class=\"{}\">{}</td><td>{:.0f}</td><td><pre>{}{}</pre></td></tr>\n", escaped(e.name),
                         look, name_of(e.outcome.verdict), e.outcome.seconds * 1e3, escaped(e.outcome.text),
                         e.skip_reason.empty() ? "" : escaped("\nskipped: " + e.skip_reason));
    }
    out += "</table></details>\n";
  }
  return out + "</body></html>\n";
}

}  // namespace tenon::kit
