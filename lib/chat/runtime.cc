#include "lib/chat/runtime.h"

#include <algorithm>

namespace llmcore::core::chat {

absl::Status BindArguments(const Arguments& arguments,
                           std::span<const absl::string_view> parameters, size_t required,
                           std::span<const Value*> out) {
  if (arguments.positional.size() > parameters.size()) {
    return Failure("takes at most ", parameters.size(), " arguments, got ",
                   arguments.positional.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) out[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end()) return Failure("got an unexpected argument '", name, "'");
    const Value*& slot = out[static_cast<size_t>(found - parameters.begin())];
    if (slot != nullptr) return Failure("got two values for the argument '", name, "'");
    slot = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (out[i] == nullptr) return Failure("needs the argument '", parameters[i], "'");
  }
  return absl::OkStatus();
}

absl::Status ExpectNoArguments(const Arguments& arguments) {
  if (arguments.empty()) return absl::OkStatus();
  return Failure("takes no arguments");
}

}  // namespace llmcore::core::chat
