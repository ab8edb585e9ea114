// Subject: the provider under test as a case sees it: sessions behind the watch, the oracle's beside it.
//
// One in each child process; used by its main thread, sessions by any. Sessions must be gone before the case ends: what is then
// still alive of the provider fails it.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <utility>
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
  static Session oracle(const Model& model) { return oracle_bytes(model.bytes()); }
  static Session oracle_bytes(const std::string& model);

  // Of the session that was loaded last: whether the provider was asked about it, and whether it said of the one node that it
  // has no such operator.
  bool has_no(const std::string& op) const {
    return watch_->queries.size() == asked_ + 1 && watch_->queries.back().refusal.reason == TENON_REJECT_OP && watch_->queries.back().refusal.op == op;
  }
  bool asked() const { return watch_ && watch_->queries.size() > asked_; }
  // Whether the provider runs all of it; else NotClaimed with its first refusal.
  void require_claimed(const Session& session) const;
  bool claims(const Session& session, std::string* why = nullptr) const;
  // Whether it runs some of it. Of the session that was loaded last, as claims.
  bool takes_part(const Session& session, std::string* why = nullptr) const;

  // A model of a few nodes that the provider takes, the first that it does of the kit's own: what most suites run.
  // Throws NotClaimed when it takes none of them. dynamic: the model leaves the number of rows open.
  struct Work {
    Model model;
    std::vector<Feed> feeds;
    std::string what;
  };
  Work work(std::int64_t rows = 6, bool dynamic = false);
  // The same for several: those that it takes of the kit's own, at most `most`; none when it takes none.
  std::vector<Work> works(std::int64_t rows, std::size_t most);
  // Its outputs must be the oracle's.
  static void check(const Session& session, const Work& work, const char* when);

  // The same model with another number of rows to feed. REQUIRES a work that is dynamic.
  static std::vector<Feed> feeds_of(const Work& work, std::int64_t rows, Random& random);

  // What stands beside the verdict of a case that passes: figures for people.
  void note(std::string text) { note_ = std::move(text); }
  std::string take_note() { return std::exchange(note_, {}); }

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
  std::string note_;
  std::atomic<std::size_t> asked_{0};  // queries before the session that was loaded last
  std::string first_refusal(std::span<const PlacedNode> nodes) const;
};

Outputs run(const Session& session, std::span<const Feed> feeds);

}  // namespace tenon::kit
