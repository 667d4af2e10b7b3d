#include "capi/callbacks.h"

#include <utility>

namespace llmcore::capi {
namespace {

// What the two callbacks of one load share.
struct Binding {
  HostCallback<llmcore_progress_callback> progress;
  HostCallback<llmcore_log_callback> log;
  std::shared_ptr<CallbackMonitor> options;
  std::shared_ptr<CallbackMonitor> model;
  absl::Mutex calling;  // held while the host runs
  bool log_ended ABSL_GUARDED_BY(calling) = false;

  bool Progress(absl::string_view stage, uint64_t done, uint64_t total) {
    const absl::MutexLock lock(&calling);
    const CallbackMonitor::Scope inside_options(options.get());
    const CallbackMonitor::Scope inside_model(model.get());
    return progress.function(progress.user.get(), stage.data(), stage.size(), done, total);
  }

  void Log(core::LogLevel level, absl::string_view message) {
    const absl::MutexLock lock(&calling);
    if (log_ended) return;
    const CallbackMonitor::Scope inside_options(options.get());
    const CallbackMonitor::Scope inside_model(model.get());
    log_ended =
        !log.function(log.user.get(), static_cast<uint32_t>(level), message.data(), message.size());
  }
};

}  // namespace

CallbackMonitor::Scope::Scope(CallbackMonitor* monitor) : monitor_(monitor) {
  const absl::MutexLock lock(&monitor_->mutex_);
  next_ = monitor_->first_;
  monitor_->first_ = this;
  ++monitor_->count_;
}

CallbackMonitor::Scope::~Scope() {
  const absl::MutexLock lock(&monitor_->mutex_);
  Scope** link = &monitor_->first_;
  while (*link != this) link = &(*link)->next_;
  *link = next_;
  --monitor_->count_;
}

absl::Status CallbackMonitor::CheckOutside() const {
  if (count_ == 0) return absl::OkStatus();
  const absl::MutexLock lock(&mutex_);
  for (const Scope* scope = first_; scope != nullptr; scope = scope->next_) {
    if (scope->thread_ == std::this_thread::get_id()) {
      return absl::FailedPreconditionError(
          "a callback may not call back into the handle that called it");
    }
  }
  return absl::OkStatus();
}

std::shared_ptr<void> OwnUser(void* user, void (*destroy)(void* user)) {
  if (destroy == nullptr) return std::shared_ptr<void>(user, [](void*) {});
  return std::shared_ptr<void>(user, destroy);
}

CoreCallbacks BindCallbacks(const HostCallback<llmcore_progress_callback>& progress,
                            const HostCallback<llmcore_log_callback>& log,
                            std::shared_ptr<CallbackMonitor> options,
                            std::shared_ptr<CallbackMonitor> model) {
  auto binding = std::make_shared<Binding>();
  binding->progress = progress;
  binding->log = log;
  binding->options = std::move(options);
  binding->model = std::move(model);
  CoreCallbacks callbacks;
  if (progress.function != nullptr) {
    callbacks.progress = [binding](absl::string_view stage, uint64_t done, uint64_t total) {
      return binding->Progress(stage, done, total);
    };
  }
  if (log.function != nullptr) {
    callbacks.log = [binding](core::LogLevel level, absl::string_view message) {
      binding->Log(level, message);
    };
  }
  return callbacks;
}

}  // namespace llmcore::capi
