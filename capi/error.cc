#include "capi/error.h"

#include <cstddef>
#include <cstring>

// The message is `message`, in the same allocation, or a literal for the static error.
struct llmcore_error {
  uint32_t code;
  uint64_t bytes_needed;
  const char* message;
};

namespace llmcore::capi {
namespace {

// Never written to: the accessors read, and destroying skips it.
constexpr llmcore_error kOutOfMemory = {LLMCORE_RESOURCE_EXHAUSTED, 0,
                                        "out of memory: the host could not allocate"};

llmcore_error* NewError(uint32_t code, absl::string_view message, uint64_t bytes_needed) noexcept {
  void* memory = ::operator new(sizeof(llmcore_error) + message.size() + 1, std::nothrow);
  if (memory == nullptr) return OutOfMemoryError();
  char* text = static_cast<char*>(memory) + sizeof(llmcore_error);
  if (!message.empty()) std::memcpy(text, message.data(), message.size());
  text[message.size()] = '\0';
  return new (memory) llmcore_error{code, bytes_needed, text};
}

}  // namespace

llmcore_error* OutOfMemoryError() noexcept {
  return const_cast<llmcore_error*>(&kOutOfMemory);
}

llmcore_error* MakeError(absl::StatusCode code, absl::string_view message) noexcept {
  return NewError(static_cast<uint32_t>(code), message, 0);
}

llmcore_error* MakeError(const absl::Status& status) {
  if (status.ok()) return nullptr;
  return NewError(static_cast<uint32_t>(status.code()), status.message(),
                  core::BytesNeeded(status).value_or(0));
}

}  // namespace llmcore::capi

uint32_t llmcore_error_code(const llmcore_error* error) {
  return error == nullptr ? LLMCORE_OK : error->code;
}

const char* llmcore_error_message(const llmcore_error* error) {
  return error == nullptr ? "" : error->message;
}

uint64_t llmcore_error_bytes_needed(const llmcore_error* error) {
  return error == nullptr ? 0 : error->bytes_needed;
}

void llmcore_error_destroy(llmcore_error* error) {
  if (error != llmcore::capi::OutOfMemoryError()) ::operator delete(error);
}
