// Config: the checked configuration of a session.
//
// Read from JSON with comments against one table of options (option_table.h), which also makes the JSON Schema and the
// documentation. The fields below are always the checked meaning of the document behind them; change that by set() and
// add_provider(), which read all fields anew. A value; copies share the document. Threads: like any value.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/limits.h"
#include "core/base/status.h"

namespace tenon {

struct ProviderEntry {
  std::string use;             // id, alias, or path of a manifest or library
  std::string device;          // "" any, a number: index, else a device uid or a glob of uids
  std::string options = "{}";  // JSON object as text, not yet checked against the provider's options_schema
  bool required = true;
  std::string sha256 = {};     // of its library, lower-case hex; "" unchecked
  bool isolate = false;        // its library is loaded into processes of their own only
  std::chrono::milliseconds isolate_limit{60'000};  // of one call to them, without a sign of life; 0: none
};

// First match wins. Patterns are globs; an empty one matches all.
struct PlacementRule {
  std::string op, name, domain;
  std::string use;                // only this provider; "" no demand
  std::vector<std::string> deny;  // never these
};

struct ShapeEntry {
  std::string name;  // of the symbolic dim
  std::optional<std::int64_t> min, opt, max;
  bool grow = false;               // it rises from run to run: plans are made for a range of it
};

enum class Optimize { none, basic, extended, all };
// Whose bundles hand providers what they store: those of this user or allowed by him; every one that only root and the user can write.
enum class BundleUse { allowed, any, none };

class Config {
 public:
  std::vector<ProviderEntry> providers;
  std::vector<std::string> provider_paths;  // absolute
  struct {
    std::string policy = "cost";
    bool error_on_unsupported = false;   // else: the next provider, the cpu appended last
    bool report_unsupported = false;     // load all the same, to see what is missing; a run fails
    bool replace_lost = false;           // a lost device's nodes are placed again, else its runs fail
    std::vector<PlacementRule> rules;
    std::string costs;                   // folder of measured costs, absolute; "" none
  } placement;
  struct {
    bool require_pinned = false;  // no library without a SHA-256, in its manifest or its entry
    std::chrono::milliseconds probe_limit{20'000};
    bool probe = true;            // first loads of libraries from outside the installation are tried in a process of their own
  } trust;
  Optimize optimize = Optimize::all;
  int threads = 0;  // 0: as many as the process may use
  bool deterministic = false;
  struct {
    std::string folder;                  // absolute; "" none
    std::uint64_t limit = std::uint64_t{8} << 30;
    bool check_content = false;
  } cache;
  BundleUse bundle = BundleUse::allowed;
  std::string precision;  // "highest", "high", "medium"; "" each provider's own default
  std::vector<std::pair<std::string, std::string>> state;  // input and output of what the session keeps between runs
  std::int64_t state_capacity = 0;
  std::vector<ShapeEntry> shapes;
  Limits limits;
  std::vector<std::pair<std::string, std::int32_t>> log;  // topic ("default" for the rest), level

  // Everything at its default; never fails.
  Config();
  // All faults at once, each "source:line:column: error at /pointer: ...". source names the text in messages; relative
  // provider_paths are resolved against `folder` ("" the working directory).
  static Result<Config> parse(std::string_view json, const std::string& source, const std::string& folder = "");
  static Result<Config> load(const std::string& path);
  // The one file that counts: `path` if not empty, else TENON_CONFIG, else <model>.tenonrc.json beside the model, else
  // $XDG_CONFIG_HOME/tenon/config.json, else /etc/tenon/config.json, else none.
  static Result<Config> find(const std::string& path = "", const std::string& model_path = "");

  // pointer: "/session/threads" or "session.threads"; value: JSON, or a bare word taken as a string. origin is shown by
  // show_origin. Nothing changes on failure.
  Status set(std::string_view pointer, std::string_view value, std::string_view origin = "api");
  // Appends an entry to providers. options: a JSON object as text.
  Status add_provider(const ProviderEntry& entry, std::string_view origin = "api");
  Status clear_providers();

  std::string json() const;         // what was set, indented
  std::string show_origin() const;  // every option: value and where it comes from, one a line
  const std::string& source() const;  // the file, "" when none

  // Sets the levels of the log section.
  void apply_log() const;

 private:
  struct Document;
  Status read(const Document& document);
  std::shared_ptr<const Document> document_;
};

// The JSON Schema (draft 7) of a configuration file, for editors.
std::string config_schema();
// The table of every key in Markdown: key, meaning, unit, default, file that reads it.
std::string config_docs();

}  // namespace tenon
