// The conformance kit: every case that is wanted, against one provider, with a report.
//
//   tenon::kit::Report report = tenon::kit::test(options);
//
// Loads the provider in child processes only. Called by a process that has made no threads. Errors: Usage for what the caller
// got wrong (an unknown suite, a skip without a reason, a provider that is not there).
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "sdk/kit/case.h"

namespace tenon::kit {

struct Usage : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  std::string provider;                    // id, manifest or library
  std::vector<std::string> provider_paths;
  std::string provider_options = "{}";     // JSON
  std::string device;                      // index, uid or glob; "" the first
  std::vector<std::string> suites;         // empty: all
  std::string filter;                      // a glob over "suite/case"; "" all
  std::string skip_file;                   // lines "PATTERN REASON"; "" none
  std::vector<std::pair<std::string, std::string>> settings;  // of every session: configuration pointer and value
  std::string onnx_cases;                  // archive or folder; "" what is installed, if anything is
  double seconds = 60;                     // of one case
  int jobs = 1;
};

struct Entry {
  std::string suite, name;
  Outcome outcome;
  std::string skip_reason;  // "" unless the skip file names it
};

struct Report {
  std::string id, version, library, manifest, tenon_version;
  std::string command;   // what runs the same provider in the same way; a selection of cases is to be added
  std::string machine;   // where this ran, JSON
  std::string began;     // when, UTC
  std::string skip_file;
  std::vector<std::string> devices;
  std::string problem;  // why the provider could not be loaded; then only what needs no device ran
  std::vector<std::string> notes;  // what the kit itself lacks
  std::vector<Entry> entries;
  double seconds = 0;

  std::size_t count(Verdict verdict, const std::string& suite = "") const;
  bool failed() const;
  // What runs this case alone.
  std::string rerun(const Entry& entry) const;
  std::string text() const;  // for a terminal
  std::string json() const;
  std::string html() const;  // one page that needs nothing else
};

// "suite/case" of every case that options select.
std::vector<std::string> list(const Options& options);
// ended is called with each entry as it is known (optional).
Report test(const Options& options, const std::function<void(const Entry&)>& ended = {});

}  // namespace tenon::kit
