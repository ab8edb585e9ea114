#include "sdk/kit/children.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <map>
#include <memory>
#include <poll.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/child_process.h"
#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void write_all(int fd, const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = write(fd, text.data() + at, text.size() - at);
    if (n <= 0) return;
    at += static_cast<std::size_t>(n);
  }
}

// The end of what a child said on its standard error.
std::string last_words(int fd) {
  const off_t size = lseek(fd, 0, SEEK_END);
  constexpr off_t most = 1500;
  std::string text(static_cast<std::size_t>(std::min(size, most)), '\0');
  const ssize_t n = pread(fd, text.data(), text.size(), std::max<off_t>(0, size - most));
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// The leak checker of a sanitizer build looks at threads that are still there when a process ends, and now and then dies of it
// itself (gcc 12). That says nothing of the provider.
bool leak_checker_died(const std::string& words) {
  return words.find("LeakSanitizer has encountered a fatal error") != std::string::npos;
}

std::string ending(int status) {
  if (WIFSIGNALED(status)) return fmt::format("ended by {}", signal_name(WTERMSIG(status)));
  return fmt::format("ended early with exit code {}", WEXITSTATUS(status));
}

// One child: what it runs, what it has said.
struct Child {
  pid_t pid = -1;
  int fd = -1, words = -1;
  std::vector<std::size_t> cases;  // in order
  std::size_t next = 0;            // of cases: the one that is running, or comes next
  bool alone = false, killed = false;
  std::string unread;
  Clock::time_point began = Clock::now();

  void start(const std::function<void(int fd)>& body) {
    int ends[2];
    words = memfd_create("words", MFD_CLOEXEC);
    if (words < 0 || pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe can be made for a child process");
    std::fflush(nullptr);
    const pid_t parent = getpid();
    pid = fork();
    if (pid < 0) throw std::runtime_error("no child process can be made");
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(1);
      close(ends[0]);
      dup2(words, STDERR_FILENO);
      dup2(words, STDOUT_FILENO);
      body(ends[1]);
      std::exit(0);  // with all that libraries do at exit: that is part of the test
    }
    close(ends[1]);
    fd = ends[0];
    began = Clock::now();
  }
  int finish() {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    close(fd);
    return status;
  }
};

Outcome outcome_of(Subject& subject, const Case& c) {
  const auto start = Clock::now();
  Outcome o{Verdict::pass, "", 0};
  try {
    if (c.needs_device) subject.begin();
    c.body(subject);
    if (c.needs_device) subject.end();
    o.text = subject.take_note();
  } catch (const NotClaimed& e) {
    o = {Verdict::not_claimed, e.what(), 0};
  } catch (const NoCase&) {
    o = {Verdict::absent, "", 0};
  } catch (const std::exception& e) {
    o = {Verdict::fail, e.what(), 0};
  }
  o.seconds = since(start);
  return o;
}

void child_body(const Target& target, const std::vector<Case>& all, const std::vector<std::size_t>& mine, int fd) {
  Subject subject(target);
  try {
    if (all[mine.front()].shared) subject.keep_loaded();
  } catch (const std::exception&) {  // the first case will say so
  }
  for (std::size_t i = 0; i < mine.size(); ++i) {
    write_all(fd, fmt::format("begin {}\n", i));
    const Outcome o = outcome_of(subject, all[mine[i]]);
    write_all(fd, Json{{"i", i}, {"verdict", static_cast<int>(o.verdict)}, {"text", o.text}, {"seconds", o.seconds}}.dump(
                      -1, ' ', false, Json::error_handler_t::replace) +
                      "\n");
  }
}

class Runner {
 public:
  Runner(const Target& target, const std::vector<Case>& cases, const Limits& limits,
         const std::function<void(std::size_t, const Outcome&)>& done)
      : target_(target), cases_(cases), limits_(limits), done_(done), reported_(cases.size(), false) {
    // Few processes, since each has its own start and end, and some for every job.
    const auto shared = static_cast<std::size_t>(std::ranges::count_if(cases, [](const Case& c) { return c.shared; }));
    const std::size_t most_in_company = std::clamp<std::size_t>(shared / (4 * static_cast<std::size_t>(std::max(1, limits.jobs))), 40, 400);
    std::vector<std::size_t> batch;
    const auto flush = [&] {
      if (!batch.empty()) waiting_.push_back(std::move(batch));
      batch.clear();
    };
    for (std::size_t i = 0; i < cases.size(); ++i) {
      if (!cases[i].shared || batch.size() >= most_in_company || (!batch.empty() && cases[batch.back()].suite != cases[i].suite)) flush();
      batch.push_back(i);
      if (!cases[i].shared) flush();
    }
    flush();
  }

  void run() {
    while (!waiting_.empty() || !running_.empty()) {
      while (!waiting_.empty() && running_.size() < static_cast<std::size_t>(std::max(1, limits_.jobs))) {
        auto child = std::make_unique<Child>();
        child->cases = std::move(waiting_.front());
        waiting_.pop_front();
        child->alone = child->cases.size() == 1;
        child->start([&](int fd) { child_body(target_, cases_, child->cases, fd); });
        running_.push_back(std::move(child));
      }
      std::vector<pollfd> polls;
      for (const auto& child : running_) polls.push_back({child->fd, POLLIN, 0});
      poll(polls.data(), polls.size(), 200);
      for (std::size_t i = running_.size(); i-- > 0;) {
        Child& child = *running_[i];
        const bool over = polls[i].revents && !listen(child);
        if (!over && since(child.began) > limits_.seconds && !child.killed) {
          child.killed = true;
          kill(child.pid, SIGKILL);
        }
        if (!over) continue;
        ended(child, child.finish());
        close(child.words);
        running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
  }

 private:
  // Reads what there is; false at the end.
  bool listen(Child& child) {
    char buffer[65536];
    const ssize_t n = read(child.fd, buffer, sizeof buffer);
    if (n <= 0) return n < 0 && errno == EINTR;
    child.unread.append(buffer, static_cast<std::size_t>(n));
    for (std::size_t end; (end = child.unread.find('\n')) != std::string::npos; child.unread.erase(0, end + 1)) {
      const std::string line = child.unread.substr(0, end);
      child.began = Clock::now();
      if (line.starts_with("begin ")) {
        child.next = std::stoul(line.substr(6));
        continue;
      }
      const Json j = Json::parse(line, nullptr, false);
      if (j.is_discarded()) continue;
      child.next = j["i"].get<std::size_t>() + 1;
      report(child.cases[child.next - 1],
             {static_cast<Verdict>(j["verdict"].get<int>()), j["text"].get<std::string>(), j["seconds"].get<double>()},
             child.alone);
    }
    return true;
  }

  void report(std::size_t index, const Outcome& outcome, bool alone) {
    if (is_failure(outcome.verdict) && !alone) waiting_.push_back({index});
    else if (!reported_[index]) {
      reported_[index] = true;
      done_(index, outcome);
    }
  }

  // The child is gone. What it was at is charged, what it had not begun goes on elsewhere.
  void ended(Child& child, int status) {
    if (child.next < child.cases.size()) {
      Outcome o{child.killed ? Verdict::timeout : Verdict::crash,
                child.killed ? fmt::format("not done after {:.0f} s", limits_.seconds) : ending(status), since(child.began)};
      if (const std::string words = last_words(child.words); !words.empty()) o.text += "\n" + words;
      report(child.cases[child.next], o, child.alone);
      if (child.next + 1 < child.cases.size())
        waiting_.emplace_front(child.cases.begin() + static_cast<std::ptrdiff_t>(child.next) + 1, child.cases.end());
    } else if (!(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
      const std::string words = last_words(child.words);
      if (leak_checker_died(words) && again_[child.cases.back()]++ < 2) {
        waiting_.push_back({child.cases.back()});
        return;
      }
      const Outcome o{child.killed ? Verdict::timeout : Verdict::crash,
                      fmt::format("after the case, while the process ended: {}\n{}", child.killed ? "it hangs" : ending(status), words),
                      0};
      done_(child.cases.back(), o);
    }
  }

  const Target& target_;
  const std::vector<Case>& cases_;
  const Limits& limits_;
  const std::function<void(std::size_t, const Outcome&)>& done_;
  std::deque<std::vector<std::size_t>> waiting_;
  std::vector<std::unique_ptr<Child>> running_;
  std::vector<bool> reported_;
  std::map<std::size_t, int> again_;  // how often a case was begun anew because the leak checker died
};

}  // namespace

void run_cases(const Target& target, const std::vector<Case>& cases, const Limits& limits,
               const std::function<void(std::size_t, const Outcome&)>& done) {
  Runner(target, cases, limits, done).run();
}

Outcome run_alone(const std::function<std::string()>& body, double seconds, std::string* out) {
  Child child;
  child.start([&](int fd) {
    try {
      write_all(fd, "+" + body());
    } catch (const std::exception& e) {
      write_all(fd, std::string("-") + e.what());
    }
    _exit(0);
  });
  const auto start = Clock::now();
  std::string said;
  bool killed = false;
  for (;;) {
    pollfd p{child.fd, POLLIN, 0};
    poll(&p, 1, 200);
    char buffer[4096];
    if (p.revents) {
      const ssize_t n = read(child.fd, buffer, sizeof buffer);
      if (n <= 0) break;
      said.append(buffer, static_cast<std::size_t>(n));
    }
    if (!killed && since(start) > seconds) killed = true, kill(child.pid, SIGKILL);
  }
  const int status = child.finish();
  const std::string words = last_words(child.words);
  close(child.words);
  if (!said.empty()) {
    if (out) *out = said.substr(1);
    return {said[0] == '+' ? Verdict::pass : Verdict::fail, said.substr(1), since(start)};
  }
  return {killed ? Verdict::timeout : Verdict::crash,
          (killed ? fmt::format("not done after {:.0f} s", seconds) : ending(status)) + (words.empty() ? "" : "\n" + words),
          since(start)};
}

}  // namespace tenon::kit
