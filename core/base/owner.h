// owner: whether a file or folder can be trusted, because nobody but the user of this process can have written it.
// The one place of that rule: caches, quarantine and the tools ask here. No state; any thread.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

namespace tenon {

// null where it belongs to the user and nobody else may write to it; else what stands against it.
inline const char* not_ours(const struct stat& info) {
  if (info.st_uid != ::geteuid()) return "it is another user's";
  return (info.st_mode & (S_IWGRP | S_IWOTH)) != 0 ? "others may write to it" : nullptr;
}

}  // namespace tenon
