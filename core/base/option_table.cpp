#include "core/base/option_table.h"

#include <limits>

namespace tenon {
namespace {

using K = OptionKind;
constexpr long long big = std::numeric_limits<long long>::max();

constexpr Option table[] = {
    {"/$schema", K::text, "", "", 0, 0, "JSON Schema of this file, for editors", "-"},
    {"/schema", K::integer, "1", "", 1, 1, "version of this format", "core/base/config.cpp"},

    {"/providers", K::list, "[]", "", 0, 0, "providers to use, the preferred one first; empty: every one that is found",
     "core/provider/registry.cpp"},
    {"/providers/*", K::section, "", "", 0, 0, "one provider", "core/provider/registry.cpp"},
    {"/providers/*/use", K::text, "", "", 0, 0, "id, alias, or path of a manifest or library", "core/provider/registry.cpp"},
    {"/providers/*/device", K::integer_or_text, "", "", 0, 1 << 20,
     "which device: its index, its uid or a glob of uids (\"*\": all); absent: the first", "core/provider/provider.cpp"},
    {"/providers/*/options", K::object, "{}", "", 0, 0, "the provider's own options, see its manifest", "core/provider/manifest.cpp"},
    {"/providers/*/required", K::boolean, "true", "", 0, 0, "false: go on without it when it cannot be used",
     "core/provider/registry.cpp"},
    {"/providers/*/sha256", K::text, "", "", 0, 0,
     "SHA-256 of its library in lower-case hex: another file is refused before any of it runs", "core/provider/trust.cpp"},
    {"/providers/*/isolate", K::choice, "\"none\"", "none|process", 0, 0,
     "where its library is loaded: into this process, or into one of its own for each device, so that its crash is an error of a run and no more", "core/provider/isolate"},
    {"/providers/*/isolate_limit", K::time, "\"60s\"", "", 0, 0,
     "an isolated provider that shows no sign of life for so long in one call is taken for hung, its process is ended and started anew; 0s: no limit",
     "core/provider/isolate"},
    {"/provider_paths", K::texts, "[]", "", 0, 0,
     "folders, manifests or libraries searched first; relative to this file's folder", "core/provider/discovery.cpp"},

    {"/placement", K::section, "", "", 0, 0, "which provider runs which node", "core/partition"},
    {"/placement/policy", K::choice, "\"cost\"", "cost", 0, 0, "how nodes are placed", "core/partition"},
    {"/placement/costs", K::text, "\"${XDG_CACHE_HOME}/tenon/costs\"", "", 0, 0,
     "folder of costs that were measured (tenon tune): where there are any they replace the providers' estimates; \"\": none; it must be the user's own", "core/partition/costs.cpp"},
    {"/placement/on_unsupported", K::choice, "\"next\"", "next|error|report", 0, 0,
     "a node that no listed provider takes: next: the cpu provider, appended last, which then takes only such nodes; error; report: as next, and where that has no kernel either load all the same (a run fails)", "core/provider/registry.cpp"},
    {"/placement/on_device_lost", K::choice, "\"error\"", "error|replace", 0, 0,
     "a device that is lost: error: runs that need it fail; replace: its nodes are placed on the others and the run is repeated, unless it has written to the caller's memory",
     "core/run/session_run.cpp"},
    {"/placement/rules", K::list, "[]", "", 0, 0, "demands for nodes; the first that matches counts", "core/partition"},
    {"/placement/rules/*", K::section, "", "", 0, 0, "one rule", "core/partition"},
    {"/placement/rules/*/match", K::section, "", "", 0, 0, "all patterns (with * and ?) must fit the node", "core/partition"},
    {"/placement/rules/*/match/op", K::text, "", "", 0, 0, "operator type", "core/partition"},
    {"/placement/rules/*/match/name", K::text, "", "", 0, 0, "node name", "core/partition"},
    {"/placement/rules/*/match/domain", K::text, "", "", 0, 0, "operator domain", "core/partition"},
    {"/placement/rules/*/use", K::text, "", "", 0, 0, "only this provider", "core/partition"},
    {"/placement/rules/*/deny", K::texts, "[]", "", 0, 0, "never these providers", "core/partition"},

    {"/trust", K::section, "", "", 0, 0, "which libraries may be loaded", "core/provider/trust.cpp"},
    {"/trust/require_pinned", K::boolean, "false", "", 0, 0,
     "only libraries whose SHA-256 stands in their manifest or in their entry under /providers, those beside libtenon excepted", "core/provider/trust.cpp"},
    {"/trust/probe", K::choice, "\"first_load\"", "first_load|never", 0, 0,
     "libraries from outside tenon's installation: first_load: each build is loaded once in a process of its own, and stays in quarantine if it ends that; never",
     "core/provider/probe.cpp"},

    {"/trust/probe_limit", K::time, "\"20s\"", "", 1, 0, "what still runs after that time is taken for hung", "core/provider/probe.cpp"},

    {"/session", K::section, "", "", 0, 0, "how a model is prepared and run", "core/run"},
    {"/session/optimize", K::choice, "\"all\"", "none|basic|extended|all", 0, 0, "which rewrites of the graph are made",
     "core/passes"},
    {"/session/threads", K::integer_or_auto, "\"auto\"", "", 1, 1024,
     "most threads of one run; auto: the CPUs that the process may use", "core/run"},
    {"/session/deterministic", K::boolean, "false", "", 0, 0, "only kernels that give the same bits for any thread count",
     "core/partition"},
    {"/session/cache", K::text, "\"\"", "", 0, 0,
     "folder in which packed weights and measured choices are kept between processes, such as \"${XDG_CACHE_HOME}/tenon\"; \"\": none; it must be the user's own", "core/base/file_cache.cpp"},
    {"/session/cache_size", K::size, "\"8GiB\"", "", 1, big, "bytes that folder may hold; what was used longest ago goes first", "core/base/file_cache.cpp"},
    {"/session/cache_check", K::choice, "\"header\"", "header|content", 0, 0,
     "what is checked of a file before it is used: its length, key and header, or all its bytes as well", "core/base/file_cache.cpp"},
    {"/session/bundle", K::choice, "\"allowed\"", "allowed|any|none", 0, 0,
     "which bundles hand providers what they store, which may be machine code: those that this user compiled or allowed, any that only root and the user can write, or none; "
     "their models run in any case", "core/provider/bundle_trust.cpp"},
    {"/session/precision", K::choice, "", "highest|high|medium", 0, 0,
     "how exactly float32 is computed, handed to every provider that knows it; absent: each provider's own",
     "core/provider/registry.cpp"},

    {"/session/state", K::map, "{}", "", 0, 0,
     "inputs that the session keeps between runs, and the outputs that they are fed with: {\"past.*\": \"present.*\"}; caches are appended to where they are", "core/passes/state_pairs.cpp"},
    {"/session/state/*", K::text, "", "", 0, 0, "the output; one \"*\" stands for what it stands for in the input's name", "core/passes/state_pairs.cpp"},
    {"/session/state_capacity", K::integer, "0", "", 0, big, "rows of a cache that a state has room for from the start; 0: it grows as it is needed", "core/run/state.cpp"},

    {"/shapes", K::map, "{}", "", 0, 0, "sizes of the model's named dimensions", "core/provider/graph_view.cpp"},
    {"/shapes/*", K::shape, "", "", 0, 0, "one dimension; a number n means min = opt = max = n", "core/provider/graph_view.cpp"},
    {"/shapes/*/min", K::integer, "", "", 0, big, "least size", "core/provider/graph_view.cpp"},
    {"/shapes/*/opt", K::integer, "", "", 0, big, "size that costs are estimated for", "core/provider/graph_view.cpp"},
    {"/shapes/*/max", K::integer, "", "", 0, big, "greatest size", "core/provider/graph_view.cpp"},
    {"/shapes/*/grow", K::boolean, "false", "", 0, 0, "it rises by one from run to run, as the past of a decoder: plans are made for a range of it at once",
     "core/run/box.cpp"},

    {"/limits", K::section, "", "", 0, 0, "bounds on what a model may ask for", "core/base/limits.h"},
    {"/limits/memory", K::size, "\"64GiB\"", "", 1, big, "memory of one run, and of any one tensor", "core/plan"},
    {"/limits/model", K::size, "\"64GiB\"", "", 1, big, "size of the model file or bytes", "core/onnx"},
    {"/limits/load", K::time, "\"0s\"", "", 0, 0, "time to load a model; 0s: no limit", "core/run"},
    {"/limits/run", K::time, "\"0s\"", "", 0, 0, "time of one run; 0s: no limit", "core/run"},
    {"/limits/call", K::time, "\"300s\"", "", 0, 0, "time of one call of a provider while a model is loaded or a placement reported, since it last reported progress; 0s: no limit", "core/provider"},
    {"/limits/late", K::time, "\"1s\"", "", 0, 0, "how long after a time limit a device may keep a thread and still be used by others", "core/provider"},
    {"/limits/nesting", K::integer, "64", "", 1, 1000, "depth of bodies inside bodies", "core/onnx"},
    {"/limits/rank", K::integer, "64", "", 1, 1000, "dimensions of a tensor", "core/onnx"},
    {"/limits/nodes", K::integer, "1000000", "", 1, 1000000000, "nodes of a model with all bodies and functions", "core/onnx"},

    {"/log", K::map, "{}", "", 0, 0,
     "level by topic: default, config, loader, import, passes, query, partition, plan, run, or a provider's id",
     "core/base/log.cpp"},
    {"/log/*", K::choice, "", "trace|debug|info|warn|error|off", 0, 0, "level of one topic", "core/base/log.cpp"},
};

}  // namespace

std::span<const Option> option_table() { return table; }

}  // namespace tenon
