// probe: what one provider can do, found out in a process of its own.
//
// The child loads the provider, lists its devices and runs small operators on each against the plain CPU path, and writes one
// line of JSON for each step before and after it; so whoever reads them knows where a crash or a hang was.
#pragma once

#include <chrono>
#include <string>

#include "sdk/cli/session_args.h"
#include "sdk/cli/table.h"

namespace tenon::cli {

// In the child: writes the lines to stdout. The exit code of the process.
int probe_here(const SessionArgs& args, const std::string& provider);
// Starts the child and reads it. It is taken for hung when a step takes longer than `limit`, or all of them ten times that; so a
// loaded machine, on which everything takes long, makes no provider look hung. Returns
// {state: "ok" | "failed" | "wrong" | "crashed" | "hung", text, stage, version, devices: [{uid, name, kind, memory_bytes, tests:
// [{op, state: "ok" | "refused" | "failed" | "wrong", text, ns}]}], output, ns, died: the provider ended the process}.
Json probe(const SessionArgs& args, const std::string& provider, std::chrono::milliseconds limit);

}  // namespace tenon::cli
