// A reply that is being made.
//
//   Generation reply = chat.Generate({.max_tokens = 256});
//   for (std::string_view piece : reply) std::cout << piece;              // text, or
//   for (const Event& event : reply.events()) Use(event.token);           // tokens, or
//   while (const Event* event = reply.Next().value()) Use(event->text);   // by hand
//
// Errors. Next() returns them and never throws. A `for` has no place for a Result: an error ends
// the loop and stays in error(), and where exceptions are switched on the loop then throws it, so
// that half a reply is not taken for a whole one.
#ifndef LLMCORE_GENERATION_HPP_
#define LLMCORE_GENERATION_HPP_

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "llmcore/error.hpp"
#include "llmcore/handle.hpp"
#include "llmcore/llmcore.h"

namespace llmcore {
inline namespace v1 {

enum class FinishReason : uint32_t {
  kNone = LLMCORE_FINISH_NONE,                 // it goes on, or was stopped early
  kEndOfText = LLMCORE_FINISH_END_OF_TEXT,     // the model ended its reply
  kStop = LLMCORE_FINISH_STOP,                 // a stop text came
  kMaxTokens = LLMCORE_FINISH_MAX_TOKENS,      // as many tokens as were asked for
  kContextFull = LLMCORE_FINISH_CONTEXT_FULL,  // the sequence is as long as it can be
};

struct TokenLogprob {
  Token token = LLMCORE_NO_TOKEN;
  float logprob = 0;
};

// One token, or the end.
struct Event {
  std::string_view text{};       // what became certain, whole characters; until the next event
  std::optional<Token> token{};  // unset only for a last event that brings none
  float logprob = 0;             // of the token, by the model
  std::vector<TokenLogprob> top_logprobs{};  // as many as asked for, best first
  FinishReason finish_reason = FinishReason::kNone;
};

namespace internal {
class Polling;  // experimental.hpp
}

// Move-only; not to be moved while it is iterated. One thread at a time with its session.
class Generation {
  friend class internal::Polling;

 public:
  // Takes over a handle of the C ABI.
  static Generation Adopt(llmcore_generation* generation) { return Generation(generation); }
  // A generation that failed before it began: its only event is the error.
  static Generation Failed(Error error) {
    Generation failed(nullptr);
    failed.error_ = std::move(error);
    return failed;
  }

  // The next event, valid until the call after; nullptr after the last one. An error ends the
  // generation and is then returned by each further call.
  Result<const Event*> Next() {
    if (Advance()) return &event_;
    if (!error_.ok()) return error_;
    return static_cast<const Event*>(nullptr);
  }

  class End {};

  // Input iterators. Those of begin() stand on text that is not empty.
  template <typename Value, bool kOnlyText>
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Value;
    using difference_type = std::ptrdiff_t;
    using pointer = const Value*;
    using reference = const Value&;

    explicit Iterator(Generation* generation) : generation_(generation) { ++*this; }
    reference operator*() const {
      if constexpr (kOnlyText) {
        return generation_->event_.text;
      } else {
        return generation_->event_;
      }
    }
    pointer operator->() const { return &**this; }
    Iterator& operator++() {
      more_ = generation_->AdvanceOrRaise(kOnlyText);
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& a, End) { return !a.more_; }
    friend bool operator!=(const Iterator& a, End) { return a.more_; }

   private:
    Generation* generation_;
    bool more_ = false;
  };

  using TextIterator = Iterator<std::string_view, true>;
  using EventIterator = Iterator<Event, false>;

  class Events {
   public:
    explicit Events(Generation* generation) : generation_(generation) {}
    EventIterator begin() const { return EventIterator(generation_); }
    End end() const { return End(); }

   private:
    Generation* generation_;
  };

  TextIterator begin() { return TextIterator(this); }
  End end() const { return End(); }
  // The generation outlives the range.
  Events events() & { return Events(this); }

  // Whether nothing failed so far, and what did.
  bool ok() const { return error_.ok(); }
  const Error& error() const { return error_; }
  // Why it ended; kNone before that and after an error.
  FinishReason finish_reason() const { return event_.finish_reason; }
  // Tokens so far.
  uint64_t token_count() const { return token_count_; }
  llmcore_generation* handle() const { return handle_.get(); }

 private:
  explicit Generation(llmcore_generation* generation) : handle_(generation) {}

  bool Advance() {
    if (handle_ == nullptr || !error_.ok()) return false;
    const llmcore_event* event = nullptr;
    error_ = Error::Take(llmcore_generation_next(handle_.get(), &event));
    return Take(event);
  }

  bool Take(const llmcore_event* event) {
    if (event == nullptr) {
      event_.text = std::string_view();
      return false;
    }
    Read(event);
    return true;
  }

  bool AdvanceOrRaise(bool only_text) {
    while (Advance()) {
      if (!only_text || !event_.text.empty()) return true;
    }
#if defined(__cpp_exceptions)
    if (!error_.ok()) internal::Raise(error_);
#endif
    return false;
  }

  void Read(const llmcore_event* event) {
    event_.text = std::string_view(llmcore_event_text(event), llmcore_event_text_size(event));
    event_.token.reset();
    if (llmcore_event_has_token(event)) {
      event_.token = llmcore_event_token(event);
      ++token_count_;
    }
    event_.logprob = llmcore_event_logprob(event);
    event_.top_logprobs.resize(llmcore_event_top_logprob_count(event));
    for (size_t i = 0; i < event_.top_logprobs.size(); ++i) {
      TokenLogprob& top = event_.top_logprobs[i];
      llmcore_error_destroy(llmcore_event_top_logprob(event, i, &top.token, &top.logprob));
    }
    event_.finish_reason = static_cast<FinishReason>(llmcore_event_finish_reason(event));
  }

  internal::Handle<llmcore_generation, llmcore_generation_destroy> handle_;
  Event event_;
  Error error_;
  uint64_t token_count_ = 0;
};

}  // namespace v1
}  // namespace llmcore

#endif  // LLMCORE_GENERATION_HPP_
