#include "interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <utility>

namespace examples {
namespace {

sigset_t InterruptSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

InterruptWatcher::InterruptWatcher() {
  const sigset_t set = InterruptSignal();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([this] { Watch(); });
}

InterruptWatcher::~InterruptWatcher() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGINT);  // ends the wait in Watch
  thread_.join();
  const sigset_t set = InterruptSignal();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void InterruptWatcher::Watch() {
  const sigset_t set = InterruptSignal();
  for (;;) {
    int signal = 0;
    if (sigwait(&set, &signal) != 0 || ending_) return;
    std::lock_guard lock(mutex_);
    if (!action_) DieOfInterrupt();
    action_();
  }
}

InterruptWatcher::Scope::Scope(InterruptWatcher& watcher, std::function<void()> action)
    : watcher_(watcher) {
  std::lock_guard lock(watcher_.mutex_);
  outer_ = std::exchange(watcher_.action_, std::move(action));
}

InterruptWatcher::Scope::~Scope() {
  std::lock_guard lock(watcher_.mutex_);
  watcher_.action_ = std::move(outer_);
}

void DieOfInterrupt() {
  const sigset_t set = InterruptSignal();
  signal(SIGINT, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  raise(SIGINT);
  _exit(130);  // only if something else caught it: 128 + SIGINT, as shells count
}

}  // namespace examples
