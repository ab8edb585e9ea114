// Subject: the provider under test as a case sees it: sessions behind the watch, the oracle's beside it.
//
// One in each child process; used by its main thread, sessions by any. Sessions must be gone before the case ends: what is then
// still alive of the provider fails it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <tenon/tenon.hpp>

#include "sdk/kit/case.h"
#include "sdk/kit/model.h"
#include "sdk/kit/target.h"
#include "sdk/kit/values.h"
#include "sdk/kit/watch/watch.h"

namespace tenon::kit {

using Settings = std::vector<std::pair<std::string, std::string>>;  // configuration pointer and value

class Subject {
 public:
  explicit Subject(const Target& target) : target_(target) {}

  const Target& target() const { return target_; }
  Watch& watch();

  // A session in which the provider takes what it can and the CPU provider the rest. Errors: tenon::Error.
  Session tested(const Model& model, const Settings& settings = {}) { return tested_bytes(model.bytes(), settings); }
  Session tested_bytes(const std::string& model, const Settings& settings = {});
  Config configuration(const Settings& settings = {});
  // A session of the CPU provider's scalar loops. Errors: tenon::Error.
  static Session oracle(const Model& model);

  // Whether the provider runs all of it; else NotClaimed with its first refusal.
  void require_claimed(const Session& session) const;
  bool claims(const Session& session, std::string* why = nullptr) const;

  // A model of a few nodes that the provider takes, the first that it does of the kit's own: what most suites run.
  // Throws NotClaimed when it takes none of them. dynamic: the model leaves the number of rows open.
  struct Work {
    Model model;
    std::vector<Feed> feeds;
    std::string what;
  };
  Work work(std::int64_t rows = 6, bool dynamic = false);
  // Its outputs must be the oracle's.
  static void check(const Session& session, const Work& work, const char* when);

  // The same model with another number of rows to feed. REQUIRES a work that is dynamic.
  static std::vector<Feed> feeds_of(const Work& work, std::int64_t rows, Random& random);

  // Before and after a case: what was alive, what was broken.
  void begin();
  void end();
  // Keeps the provider loaded between cases of one process.
  void keep_loaded();

 private:
  const Target& target_;
  Watch* watch_ = nullptr;
  std::vector<Session> kept_;
  std::int64_t alive_before_ = 0;
};

Outputs run(const Session& session, std::span<const Feed> feeds);

}  // namespace tenon::kit
