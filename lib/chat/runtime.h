// What every function of the template language needs from the rendering it runs in: its heap, its
// count of steps, and its clock.
#ifndef LLMCORE_LIB_CHAT_RUNTIME_H_
#define LLMCORE_LIB_CHAT_RUNTIME_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/chat/chat_template.h"
#include "lib/chat/value.h"

namespace llmcore::core::chat {

class Runtime {
 public:
  Runtime(const TemplateLimits& limits, int64_t now_unix_seconds)
      : limits_(limits), now_(now_unix_seconds), heap_(limits.max_value_bytes) {}

  Heap& heap() { return heap_; }
  const TemplateLimits& limits() const { return limits_; }
  int64_t now_unix_seconds() const { return now_; }

  // Counts work; an error when the template has done too much, or holds too much.
  absl::Status Spend(uint64_t steps) {
    steps_ += steps;
    if (steps_ > limits_.max_steps) [[unlikely]] {
      return absl::ResourceExhaustedError(
          absl::StrCat("the template takes more than the limit of ", limits_.max_steps, " steps"));
    }
    if (heap_.used() > limits_.max_value_bytes) [[unlikely]]
      return heap_.Check();
    return absl::OkStatus();
  }
  // Counts work on that many bytes of text.
  absl::Status SpendText(uint64_t bytes) { return Spend(bytes / 64); }

 private:
  const TemplateLimits& limits_;
  const int64_t now_;
  Heap heap_;
  uint64_t steps_ = 0;
};

// The arguments of a call, of a filter (without its value) or of a test (likewise).
struct Arguments {
  using Named = std::pair<absl::string_view, Value>;
  std::span<const Value> positional;
  std::span<const Named> named;

  bool empty() const { return positional.empty() && named.empty(); }
};

// Binds arguments to parameters as Python does. An entry is NULL where nothing was given.
absl::Status BindArguments(const Arguments& arguments,
                           std::span<const absl::string_view> parameters, size_t required,
                           std::span<const Value*> out);

template <size_t N>
absl::StatusOr<std::array<const Value*, N>> Bind(const Arguments& arguments,
                                                 const absl::string_view (&parameters)[N],
                                                 size_t required = 0) {
  std::array<const Value*, N> bound = {};
  LLMCORE_RETURN_IF_ERROR(BindArguments(arguments, parameters, required, bound));
  return bound;
}

// For a function that takes nothing.
absl::Status ExpectNoArguments(const Arguments& arguments);

// An error of the template or of what it was given.
template <typename... Pieces>
absl::Status Failure(const Pieces&... pieces) {
  return absl::InvalidArgumentError(absl::StrCat(pieces...));
}

// Something that Jinja2 or Python has and this library does not.
template <typename... Pieces>
absl::Status Unsupported(const Pieces&... pieces) {
  return absl::UnimplementedError(absl::StrCat(pieces..., " is not supported"));
}

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_RUNTIME_H_
