// Stopping a load or a quantization from another thread.
#ifndef LLMCORE_CANCEL_HPP_
#define LLMCORE_CANCEL_HPP_

#include "llmcore/error.hpp"
#include "llmcore/handle.hpp"
#include "llmcore/llmcore.h"

namespace llmcore {
inline namespace v1 {

// Copies are the same token: hand one to the work and keep one. Thread-safe.
class CancelToken {
 public:
  static Result<CancelToken> Create() {
    llmcore_cancel_token* token = nullptr;
    if (llmcore_error* error = llmcore_cancel_token_create(&token)) return Error::Take(error);
    return CancelToken(token);
  }

  // The work that has this token returns kCancelled, within 50 ms. There is no way back.
  void Cancel() const { llmcore_cancel_token_cancel(handle_.get()); }
  llmcore_cancel_token* handle() const { return handle_.get(); }

 private:
  explicit CancelToken(llmcore_cancel_token* token)
      : handle_(token, llmcore_cancel_token_destroy) {}

  std::shared_ptr<llmcore_cancel_token> handle_;
};

}  // namespace v1
}  // namespace llmcore

#endif  // LLMCORE_CANCEL_HPP_
