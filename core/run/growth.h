// Growth: watches the sizes of a block's feeds in one run context, and says when a box of sizes is worth a plan of its own.
//
// Sizes that rise by the same steps in two runs after each other (the past of a decoder and its mask) will go on so; sizes that
// the configuration says to grow do from the first run on. Numbers that inference reads (how long a sequence is) count as well.
// One thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/tensor/datum.h"

namespace tenon {

class Growth {
 public:
  // by: how much each feed's sizes grow by configuration, 0 where nothing is said; empty where that is no size at all.
  // limits: the largest that it allows.
  struct Configured {
    std::vector<std::vector<std::int64_t>> by, limits;
    bool any = false;
    // A state's rows: the feed that says how many count, and the one whose dim has room for as many (core/run/state.h).
    struct Rows {
      std::size_t feed, cache, axis;
    };
    std::optional<Rows> rows;
  };

  // A feed at the end of a box: its sizes, and what is added to its elements where inference reads them.
  struct Corner {
    Dims dims;
    std::vector<std::int64_t> more;
  };

  // The sizes of this run. read: feeds whose elements inference reads.
  void see(std::span<const Datum* const> feeds, const std::vector<bool>& read);
  // True where the next runs are likely to need larger sizes than this one.
  bool box(std::span<const Datum* const> feeds, const std::vector<bool>& read, const Configured& configured, std::vector<Corner>& corner) const;
  // A box for these sizes could not be made, or did not hold what it promised: boxes are given up for good after a few.
  void failed() { ++failures_; }
  bool hopeless() const { return failures_ > 3; }

 private:
  std::vector<std::int64_t> last_, step_, scratch_;  // all sizes and numbers of all feeds; what the last run added
  bool steady_ = false;                              // it added the same as the one before
  int failures_ = 0;
};

}  // namespace tenon
