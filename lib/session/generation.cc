#include "lib/session/generation.h"

#include <sys/random.h>

#include <cerrno>
#include <utility>

namespace llmcore::core {
namespace {

absl::StatusOr<uint64_t> EntropySeed() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof(seed), 0) != static_cast<ssize_t>(sizeof(seed))) {
    return ErrnoError(errno, "cannot draw a random seed");
  }
  return seed;
}

}  // namespace

absl::StatusOr<SamplingParams> PrepareGeneration(const Model& model,
                                                 const GenerationParams& params) {
  LLMCORE_ASSIGN_OR_RETURN(SamplingParams resolved,
                           ResolveGenerationParams(params, model.generation_config()));
  if (!resolved.seed.has_value()) {
    LLMCORE_ASSIGN_OR_RETURN(resolved.seed, EntropySeed());
  }
  const auto& tokenizer = model.text()->tokenizer();
  if (!resolved.stop.empty() && !tokenizer.ok()) {
    return Annotate(tokenizer.status(), "stop strings need the tokenizer");
  }
  return resolved;
}

Generation::Generation(const Model& model, SamplingParams params, uint64_t request)
    : model_(model), params_(std::move(params)), request_(request), stops_(params_.stop) {
  const auto& tokenizer = model.text()->tokenizer();
  if (!tokenizer.ok()) return;
  DecodeOptions options;
  options.skip_special = true;
  decoder_.emplace(*tokenizer, options);
}

FinishReason Generation::EndsAt(uint64_t length) const {
  if (params_.max_tokens.has_value() && count_ >= static_cast<size_t>(*params_.max_tokens)) {
    return FinishReason::kMaxTokens;
  }
  if (length >= static_cast<uint64_t>(model_.plan().max_context)) {
    return FinishReason::kContextFull;
  }
  return FinishReason::kNone;
}

SampleInput Generation::DrawInput(std::span<const TokenId> tokens,
                                  std::span<const float> logits) const {
  SampleInput input;
  input.params = &params_;
  input.key = {*params_.seed, request_, tokens.size()};
  input.logits = logits;
  input.history = tokens;
  input.generated_count = count_;
  return input;
}

absl::StatusOr<GenerationEvent> Generation::Add(const SampledToken& sampled, uint64_t length) {
  GenerationEvent event;
  event.has_token = true;
  event.token = sampled.id;
  event.logprob = sampled.logprob;
  event.top_logprobs.assign(sampled.top.begin(), sampled.top.end());
  ++count_;
  const bool ends = !params_.ignore_eos && model_.IsEndOfText(sampled.id);
  if (decoder_.has_value() && !ends) {
    LLMCORE_ASSIGN_OR_RETURN(const std::string piece, decoder_->Push(sampled.id));
    if (stops_.Push(piece, &event.text)) event.finish_reason = FinishReason::kStopString;
  }
  if (event.finish_reason == FinishReason::kNone) {
    event.finish_reason = ends ? FinishReason::kEndOfText : EndsAt(length);
  }
  if (event.finish_reason != FinishReason::kNone) Flush(&event.text);
  reply_ += event.text;
  return event;
}

std::string Generation::TakeReply() {
  Flush(&reply_);
  return std::move(reply_);
}

// Adds what decoder and stop strings still hold back.
void Generation::Flush(std::string* text) {
  if (decoder_.has_value()) stops_.Push(decoder_->Flush(), text);
  stops_.Finish(text);
}

}  // namespace llmcore::core
