// The report as one page: the verdict, what failed and how to run it again, operators by type, then every case.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <tenon/tenon.hpp>

#include "sdk/kit/kit.h"
#include "sdk/kit/values.h"

namespace tenon::kit {
namespace {

constexpr const char* style = R"css(
:root { --ink: #1b2430; --soft: #5d6b7c; --line: #d5dbe3; --paper: #fff; --panel: #f6f8fa; --good: #2b8a3e; --bad: #c92a2a; --some: #d9480f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --soft: #9aa7b6; --line: #3a4452; --paper: #161b22; --panel: #1f2630; --good: #69db7c; --bad: #ff8787; --some: #ffa94d; } }
body { margin: 0 auto; max-width: 1100px; padding: 20px; font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 22px; margin: 0 0 2px; } h2 { font-size: 16px; margin: 28px 0 8px; } .soft { color: var(--soft); }
.verdict { font-size: 17px; padding: 10px 14px; margin: 12px 0; border-left: 5px solid; background: var(--panel); }
table { border-collapse: collapse; } th, td { text-align: left; padding: 3px 14px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--soft); } .r { text-align: right; font-variant-numeric: tabular-nums; }
pre, code { font: 12px/1.4 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; } td pre { max-width: 60em; }
.case { border-left: 4px solid var(--bad); padding: 4px 12px; margin: 10px 0; background: var(--panel); } .case pre { margin: 4px 0; } .again { color: var(--soft); user-select: all; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; } .some { color: var(--some); } .no { color: var(--soft); opacity: .6; }
.grid { overflow-x: auto; } .grid td, .grid th { padding: 1px 6px; text-align: center; font-size: 12px; } .grid th:first-child, .grid td:first-child { text-align: left; }
.grid thead th { writing-mode: vertical-rl; transform: rotate(180deg); font-weight: 400; vertical-align: bottom; text-align: left; } .grid thead th:first-child { writing-mode: horizontal-tb; transform: none; }
summary { cursor: pointer; margin: 6px 0; }
)css";

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

const char* look(Verdict v) {
  if (is_failure(v)) return "bad";
  return v == Verdict::pass ? "good" : v == Verdict::skipped ? "some" : "no";
}

std::string row(const std::string& name, const std::string& cell) {
  return cell.empty() ? "" : fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escaped(name), escaped(cell));
}

std::string head(const Report& r) {
  const auto machine = nlohmann::json::parse(r.machine, nullptr, false);
  std::string where;
  if (machine.is_object() && machine.contains("cpu"))
    where = fmt::format("{}, {} processors, {}", machine["cpu"].value("model", "?"), machine["cpu"].value("usable", 0), machine.value("kernel", "?"));
  const std::size_t bad = static_cast<std::size_t>(
      std::ranges::count_if(r.entries, [](const Entry& e) { return is_failure(e.outcome.verdict); }));
  const std::size_t passed = r.count(Verdict::pass);
  std::string out = fmt::format("<h1>{} {}</h1>\n<div class=\"soft\">conformance of a provider for tenon</div>\n", escaped(r.id), escaped(r.version));
  out += fmt::format("<div class=\"verdict {}\" style=\"border-color: currentColor\">{}: {} cases pass, {} fail, {} skipped with a reason, {} not claimed</div>\n",
                     bad ? "bad" : "good", bad ? "It fails" : "It passes", passed, bad, r.count(Verdict::skipped), r.count(Verdict::not_claimed));
  if (!r.problem.empty())
    out += fmt::format("<div class=\"verdict some\" style=\"border-color: currentColor\">{}; only what needs no device was run</div>\n", escaped(r.problem));
  for (const std::string& note : r.notes) out += fmt::format("<p class=\"some\">{}</p>\n", escaped(note));
  out += "<table>\n" + row("library", r.library) + row("manifest", r.manifest);
  for (const std::string& device : r.devices) out += row("device", device);
  out += row("tenon", r.tenon_version) + row("machine", where) + row("run", fmt::format("{}, {:.1f} s", r.began, r.seconds));
  for (const Entry& e : r.entries)
    if (e.outcome.verdict == Verdict::pass && !e.outcome.text.empty()) out += row(e.suite, e.outcome.text);
  return out + row("skip file", r.skip_file) + row("command", r.command) + "</table>\n";
}

std::vector<std::string> suites_of(const Report& r) {
  std::vector<std::string> out;
  for (const Entry& e : r.entries)
    if (std::ranges::find(out, e.suite) == out.end()) out.push_back(e.suite);
  return out;
}

std::string summary(const Report& r) {
  std::string out = "<h2>Suites</h2>\n<table><tr><th>suite</th><th class=r>passed</th><th class=r>failed</th><th class=r>skipped</th>"
                    "<th class=r>not claimed</th><th class=r>no device</th><th class=r>seconds</th></tr>\n";
  for (const std::string& suite : suites_of(r)) {
    std::size_t bad = 0;
    double seconds = 0;
    for (const Entry& e : r.entries)
      if (e.suite == suite) bad += is_failure(e.outcome.verdict), seconds += e.outcome.seconds;
    const auto cell = [](std::size_t n, const char* when) { return fmt::format("<td class=\"r {}\">{}</td>", n ? when : "no", n); };
    out += fmt::format("<tr><td>{}</td>{}{}{}{}{}<td class=r>{:.1f}</td></tr>\n", escaped(suite), cell(r.count(Verdict::pass, suite), "good"),
                       cell(bad, "bad"), cell(r.count(Verdict::skipped, suite), "some"), cell(r.count(Verdict::not_claimed, suite), ""),
                       cell(r.count(Verdict::no_device, suite), ""), seconds);
  }
  return out + "</table>\n";
}

std::string failures(const Report& r) {
  std::string out;
  for (const Entry& e : r.entries) {
    if (!is_failure(e.outcome.verdict)) continue;
    out += fmt::format("<div class=case><span class=bad>{}/{}: {}</span><pre>{}</pre>", escaped(e.suite), escaped(e.name),
                       name_of(e.outcome.verdict), escaped(e.outcome.text));
    if (e.suite != "skip file") out += fmt::format("<code class=again>{}</code>", escaped(r.rerun(e)));
    out += "</div>\n";
  }
  if (!out.empty()) out = "<h2>What fails</h2>\n" + out;
  std::string skipped;
  for (const Entry& e : r.entries)
    if (e.outcome.verdict == Verdict::skipped)
      skipped += fmt::format("<tr><td>{}/{}</td><td>{}</td></tr>\n", escaped(e.suite), escaped(e.name), escaped(e.skip_reason));
  if (!skipped.empty()) out += "<h2>Skipped</h2>\n<table><tr><th>case</th><th>reason</th></tr>\n" + skipped + "</table>\n";
  return out;
}

// Operators down, element types across: what is claimed, and whether it is right.
std::string operators(const Report& r) {
  std::vector<std::string> types, ops;
  std::map<std::pair<std::string, std::string>, const Entry*> cells;
  for (const Entry& e : r.entries) {
    const std::size_t slash = e.name.find('/');
    if (e.suite != "operators" || slash == std::string::npos || e.name.starts_with("onnx/")) continue;
    const std::string op = e.name.substr(0, slash);
    if (std::ranges::find(ops, op) == ops.end()) ops.push_back(op);
    cells[{op, e.name.substr(slash + 1)}] = &e;
  }
  if (ops.empty()) return "";
  for (const std::int32_t dtype : swept_dtypes())
    if (const std::string type = tenon_dtype_name(dtype); std::ranges::any_of(cells, [&](const auto& c) { return c.first.second == type; }))
      types.push_back(type);
  std::string out = "<h2>Operators and element types</h2>\n<p class=soft>&#10003; right, &#10007; wrong, s skipped, &middot; not claimed, empty: not in ONNX</p>\n"
                    "<div class=grid><table><thead><tr><th>operator</th>";
  for (const std::string& type : types) out += fmt::format("<th>{}</th>", escaped(type));
  out += "</tr></thead>\n";
  for (const std::string& op : ops) {
    out += fmt::format("<tr><td>{}</td>", escaped(op));
    for (const std::string& type : types) {
      const auto found = cells.find({op, type});
      if (found == cells.end()) {
        out += "<td></td>";
        continue;
      }
      const Verdict v = found->second->outcome.verdict;
      const char* mark = is_failure(v) ? "&#10007;" : v == Verdict::pass ? "&#10003;" : v == Verdict::skipped ? "s" : "&middot;";
      out += fmt::format("<td class={} title=\"{}\">{}</td>", look(v), escaped(found->second->outcome.text), mark);
    }
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

std::string every_case(const Report& r) {
  std::string out = "<h2>Every case</h2>\n";
  for (const std::string& suite : suites_of(r)) {
    out += fmt::format("<details><summary>{}</summary><table><tr><th>case</th><th>result</th><th class=r>ms</th><th></th></tr>\n", escaped(suite));
    for (const Entry& e : r.entries)
      if (e.suite == suite)
        out += fmt::format("<tr><td>{}</td><td class={}>{}</td><td class=r>{:.0f}</td><td><pre>{}</pre></td></tr>\n", escaped(e.name),
                           look(e.outcome.verdict), name_of(e.outcome.verdict), e.outcome.seconds * 1e3, escaped(e.outcome.text));
    out += "</table></details>\n";
  }
  return out;
}

}  // namespace

std::string Report::html() const {
  return fmt::format("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
                     "<title>{} {}: conformance</title><style>{}</style></head><body>\n",
                     escaped(id), escaped(version), style) +
         head(*this) + failures(*this) + summary(*this) + operators(*this) + every_case(*this) + "</body></html>\n";
}

}  // namespace tenon::kit
