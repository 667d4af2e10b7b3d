#include "conversation.h"

#include <atomic>
#include <stdexcept>
#include <string>
#include <utility>

#include "common/program.h"
#include "common/stopwatch.h"

namespace examples {
Conversation::Conversation(const llmcore::Model& model, const ConversationOptions& options,
                           InterruptWatcher& interrupts)
    : model_(model), options_(options), interrupts_(interrupts), session_(NewSession()) {}

llmcore::Session Conversation::NewSession() const {
  llmcore::Session session = llmcore::Session::Create(model_).value();
  if (!options_.system.empty()) session.AddSystem(options_.system).value();
  return session;
}

void Conversation::Reset() {
  session_ = NewSession();
}

void Conversation::Save(const std::string& path) {
  session_.Save(path).value();
}

void Conversation::Load(const std::string& path) {
  session_ = llmcore::Session::Restore(model_, path).value();
}

void Conversation::Add(const std::string& text) {
  const llmcore::Result<void> added =
      options_.raw ? session_.AppendText(text) : session_.AddUser(text);
  session_.ClearError();  // the conversation goes on without what could not be added
  if (!options_.raw && !added && added.error().code() == llmcore::ErrorCode::kNotFound) {
    throw std::runtime_error(std::string(added.error().message()) +
                             "; --raw completes text without one");
  }
  added.value();
}

Conversation::Ending Conversation::Reply(const std::string& text) {
  speed_ = Speed();
  const uint64_t before = session_.length();
  std::atomic<bool> interrupted = false;
  const InterruptWatcher::Scope scope(interrupts_, [&] {
    interrupted = true;
    session_.Cancel();
  });
  Add(text);
  for (;;) {
    llmcore::Generation generation = session_.Generate(options_.sampling);
    speed_.prompt_tokens = session_.length() - before;
    try {
      return Stream(std::move(generation));
    } catch (const llmcore::Error& error) {
      if (error.code() != llmcore::ErrorCode::kCancelled) throw;
      if (interrupted) return Ending::kInterrupted;
      // A Ctrl-C that came just after the end of the last reply: this one was not meant.
    }
  }
}

std::vector<llmcore::experimental::Answer> Conversation::Samples(const std::string& text,
                                                                 uint32_t count) {
  const InterruptWatcher::Scope scope(interrupts_, [&] { session_.Cancel(); });
  Add(text);
  return llmcore::experimental::SampleAnswers(session_, options_.sampling, count, count).value();
}

std::vector<llmcore::experimental::Answer> Conversation::Beams(const std::string& text,
                                                               uint32_t count) {
  const InterruptWatcher::Scope scope(interrupts_, [&] { session_.Cancel(); });
  Add(text);
  llmcore::experimental::BeamParams params;
  params.width = count;
  params.n = count;
  params.max_tokens = options_.sampling.max_tokens;
  return llmcore::experimental::BeamSearch(session_, params).value();
}

Conversation::Ending Conversation::Stream(llmcore::Generation generation) {
  Stopwatch watch;
  for (const llmcore::Event& event : generation.events()) {
    if (event.token && speed_.reply_tokens++ == 0) {
      speed_.prompt_seconds = watch.seconds();
      watch.Restart();
    }
    Write(event.text);
    speed_.reply_seconds = watch.seconds();
  }
  switch (generation.finish_reason()) {
    case llmcore::FinishReason::kContextFull:
      return Ending::kContextFull;
    case llmcore::FinishReason::kMaxTokens:
      return Ending::kMaxTokens;
    default:
      return Ending::kComplete;
  }
}

}  // namespace examples
