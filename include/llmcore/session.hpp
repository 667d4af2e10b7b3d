// A conversation, or any sequence of tokens.
//
// Errors. Like a stream, a session remembers the first Add... or Append... that failed: until
// ClearError() all further ones and Generate() give that error too, so that a reply never answers a
// conversation from which a message is missing. Their results may therefore be ignored.
#ifndef LLMCORE_SESSION_HPP_
#define LLMCORE_SESSION_HPP_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "llmcore/error.hpp"
#include "llmcore/generation.hpp"
#include "llmcore/handle.hpp"
#include "llmcore/llmcore.h"
#include "llmcore/model.hpp"
#include "llmcore/sampling.hpp"

namespace llmcore {
inline namespace v1 {

// One thread at a time, except Cancel and length. Move-only. Keeps what it needs of the model
// alive.
class Session {
 public:
  // Does not throw: if there is no memory for a session, error() says so and every call fails.
  explicit Session(const Model& model) {
    llmcore_session* session = nullptr;
    error_ = Error::Take(llmcore_session_create(model.handle(), &session));
    handle_.reset(session);
  }
  static Result<Session> Create(const Model& model) {
    Session session(model);
    if (!session.ok()) return session.error();
    return Result<Session>(std::move(session));
  }
  // What Save wrote, for the same model in the same formats.
  static Result<Session> Restore(const Model& model, std::string_view path) {
    llmcore_session* session = nullptr;
    llmcore_error* error =
        llmcore_session_restore(model.handle(), path.data(), path.size(), &session);
    if (error != nullptr) return Error::Take(error);
    return Adopt(session);
  }
  // Takes over a handle of the C ABI.
  static Session Adopt(llmcore_session* session) { return Session(session); }

  // Messages, through the model's chat template.
  Result<void> AddSystem(std::string_view content) { return AddMessage("system", content); }
  Result<void> AddUser(std::string_view content) { return AddMessage("user", content); }
  Result<void> AddAssistant(std::string_view content) { return AddMessage("assistant", content); }
  Result<void> AddMessage(std::string_view role, std::string_view content) {
    return Remember([&] {
      return llmcore_session_append_message(handle_.get(), role.data(), role.size(), content.data(),
                                            content.size());
    });
  }
  // Further variables of the template, a JSON object: {"tools": [...], "enable_thinking": false}.
  Result<void> SetChatVariables(std::string_view json) {
    return Remember([&] {
      return llmcore_session_set_chat_variables(handle_.get(), json.data(), json.size());
    });
  }

  // Plain text or tokens instead of messages.
  Result<void> AppendText(std::string_view text) {
    return Remember(
        [&] { return llmcore_session_append_text(handle_.get(), text.data(), text.size()); });
  }
  Result<void> AppendTokens(View<Token> ids) {
    return Remember(
        [&] { return llmcore_session_append_tokens(handle_.get(), ids.data(), ids.size()); });
  }

  // A reply, as a range of pieces of text. A failure is the reply's: see generation.hpp. The reply
  // so far becomes part of the session; another call that changes the session ends it.
  Generation Generate(const SamplingParams& params = SamplingParams()) {
    if (!ok()) return Generation::Failed(error_);
    Result<internal::SamplingHandle> c_params = internal::MakeSamplingParams(params);
    if (!c_params.ok()) return Generation::Failed(c_params.error());
    llmcore_generation* generation = nullptr;
    llmcore_error* error = llmcore_session_generate(handle_.get(), c_params->get(), &generation);
    if (error != nullptr) return Generation::Failed(Error::Take(error));
    return Generation::Adopt(generation);
  }

  // Any thread: the call in flight, or else the next that computes, gives kCancelled.
  void Cancel() const { llmcore_session_cancel(handle_.get()); }

  // Tokens in the sequence; any thread.
  uint64_t length() const { return llmcore_session_length(handle_.get()); }
  // Valid until the session changes.
  Result<View<Token>> tokens() const {
    const Token* ids = nullptr;
    size_t count = 0;
    llmcore_error* error = llmcore_session_tokens(handle_.get(), &ids, &count);
    if (error != nullptr) return Error::Take(error);
    return View<Token>(ids, count);
  }
  // Rewinds to the first `length` tokens.
  [[nodiscard]] Result<void> Truncate(uint64_t length) {
    return Error::Take(llmcore_session_truncate(handle_.get(), length));
  }
  // A second session with the same beginning; copies no part of the KV cache.
  Result<Session> Fork() {
    llmcore_session* session = nullptr;
    llmcore_error* error = llmcore_session_fork(handle_.get(), &session);
    if (error != nullptr) return Error::Take(error);
    return Adopt(session);
  }
  // To a file, replacing it in one step.
  [[nodiscard]] Result<void> Save(std::string_view path) {
    return Error::Take(llmcore_session_save(handle_.get(), path.data(), path.size()));
  }
  // Of the last position, one value a token of the vocabulary. Valid until the next call.
  Result<View<float>> Logits() {
    const float* values = nullptr;
    size_t count = 0;
    llmcore_error* error = llmcore_session_logits(handle_.get(), &values, &count);
    if (error != nullptr) return Error::Take(error);
    return View<float>(values, count);
  }

  // The error that the session remembers.
  bool ok() const { return error_.ok(); }
  const Error& error() const { return error_; }
  // Goes on without what failed to be added.
  void ClearError() {
    if (handle_ != nullptr) error_ = Error();
  }
  llmcore_session* handle() const { return handle_.get(); }

 private:
  explicit Session(llmcore_session* session) : handle_(session) {}

  template <typename Call>
  Result<void> Remember(const Call& call) {
    if (ok()) error_ = Error::Take(call());
    return error_;
  }

  internal::Handle<llmcore_session, llmcore_session_destroy> handle_;
  Error error_;
};

}  // namespace v1
}  // namespace llmcore

#endif  // LLMCORE_SESSION_HPP_
