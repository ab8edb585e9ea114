// The report as text and as JSON; report_page.cpp makes a page of it.
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

std::string Report::rerun(const Entry& entry) const {
  return fmt::format("{} --filter '{}/{}' -v", command, entry.suite, entry.name);
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
    if (e.suite != "skip file") out += fmt::format("  again: {}\n", rerun(e));
  }
  for (const Entry& e : entries)
    if (e.outcome.verdict == Verdict::pass && !e.outcome.text.empty()) out += fmt::format("\n{}/{}: {}\n", e.suite, e.name, e.outcome.text);
  for (const std::string& note : notes) out += fmt::format("\nnote: {}\n", note);
  out += "\n";
  for (const std::string& suite : suites_of(*this)) out += fmt::format("{:<12} {}\n", suite, counts(*this, suite));
  out += fmt::format("{:<12} {}, {:.1f} s\n", "all", counts(*this, ""), seconds);
  return out;
}

std::string Report::json() const {
  using Json = nlohmann::ordered_json;
  Json out{{"provider", {{"id", id}, {"version", version}, {"library", library}, {"manifest", manifest}}},
           {"tenon", tenon_version}, {"began", began}, {"command", command}, {"devices", devices}, {"problem", problem}, {"notes", notes},
           {"passed", !failed()}, {"seconds", seconds}};
  out["machine"] = Json::parse(machine, nullptr, false);
  Json& totals = out["counts"] = Json::object();
  for (const Verdict v : all_verdicts) totals[name_of(v)] = count(v);
  Json& list = out["cases"] = Json::array();
  for (const Entry& e : entries) {
    Json j{{"suite", e.suite}, {"name", e.name}, {"verdict", name_of(e.outcome.verdict)}, {"seconds", e.outcome.seconds}};
    if (!e.outcome.text.empty()) j["text"] = e.outcome.text;
    if (!e.skip_reason.empty()) j["skip_reason"] = e.skip_reason;
    if (is_failure(e.outcome.verdict) && e.suite != "skip file") j["again"] = rerun(e);
    list.push_back(std::move(j));
  }
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace tenon::kit
