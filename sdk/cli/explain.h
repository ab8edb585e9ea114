// explain: views of a placement's JSON (core/report/README.md) for the terminal: one node, one provider, two reports.
// Functions that print; used by the main thread.
#pragma once

#include <string>
#include <vector>

#include <tenon/tenon.hpp>

#include "sdk/cli/table.h"

namespace tenon::cli {

// One node: types, every device's answer with its cost, the rule that fits, and what a run would cost with the node elsewhere.
// Errors: Failure with near names where there is none of that name.
void print_node(const Session& session, const Json& report, const std::string& name, bool json);
// All that a provider does not run, in groups that are alike: reason, text, count, what may be changed.
void print_why_not(const Json& report, const std::string& provider, bool json);
// What is different in b: nodes that moved, costs, copies, memory. Names of the files are for headings.
void print_comparison(const Json& a, const Json& b, const std::string& name_a, const std::string& name_b, bool json);
// Every node, a line each.
void print_nodes(const Json& report);

// A report that --json or explain(format="json") wrote. Errors: Failure naming the file and what is wrong with it.
Json read_report(const std::string& path);

// Names like the one that was asked for, the likeliest first, at most five.
std::vector<std::string> near_names(const std::string& name, const std::vector<std::string>& all);
// `, did you mean "a" or "b"?`, "" for none.
std::string did_you_mean(const std::vector<std::string>& names);

}  // namespace tenon::cli
