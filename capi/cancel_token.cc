#include "capi/cancel_token.h"

#include "capi/arguments.h"
#include "capi/error.h"

using namespace llmcore::capi;  // NOLINT: the functions below are in no namespace

llmcore_error* llmcore_cancel_token_create(llmcore_cancel_token** out_token) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_token, "out_token"));
    *out_token = new llmcore_cancel_token{std::make_shared<llmcore::core::CancelToken>()};
    return absl::OkStatus();
  });
}

void llmcore_cancel_token_cancel(llmcore_cancel_token* token) {
  if (token != nullptr) token->token->Cancel();
}

void llmcore_cancel_token_destroy(llmcore_cancel_token* token) {
  delete token;
}
