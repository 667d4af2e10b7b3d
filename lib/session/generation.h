// A reply that is being generated: what its tokens say, and when it ends.
#ifndef LLMCORE_LIB_SESSION_GENERATION_H_
#define LLMCORE_LIB_SESSION_GENERATION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lib/base/status.h"
#include "lib/sampling/params.h"
#include "lib/sampling/sampler.h"
#include "lib/sampling/stop_matcher.h"
#include "lib/session/generation_params.h"
#include "lib/session/model.h"
#include "lib/tokenizer/tokenizer.h"

namespace llmcore::core {

// Why a generation ended. Values are those of the C ABI.
enum class FinishReason : uint32_t {
  kNone = 0,         // it goes on
  kEndOfText = 1,    // the model ended its reply
  kStopString = 2,   // a stop string came
  kMaxTokens = 3,    // max_tokens were generated
  kContextFull = 4,  // the sequence reached the model's max_context
};

// One token, or the end. `text` is what became certain with it: it may be empty (half a character,
// the start of a stop string) or hold text of earlier tokens; it never cuts a UTF-8 character.
struct GenerationEvent {
  bool has_token = false;  // false only for a last event that brings no token
  TokenId token = 0;
  std::string text;
  float logprob = 0;                       // log-softmax of the model's logits at `token`
  std::vector<TokenLogprob> top_logprobs;  // as many as were asked for, best first
  FinishReason finish_reason = FinishReason::kNone;
};

// Parameters that `model` can follow: what is unset is filled in, the seed from the system's
// entropy.
absl::StatusOr<SamplingParams> PrepareGeneration(const Model& model,
                                                 const GenerationParams& params);

class Generation {
 public:
  // `params` are prepared for `model`, which outlives the generation. `request` tells replies to
  // one prompt with one seed apart.
  Generation(const Model& model, SamplingParams params, uint64_t request = 0);

  // Why no token may follow a sequence of `length`; kNone when one may.
  FinishReason EndsAt(uint64_t length) const;
  // What the next draw depends on; `tokens` and `logits` are lent to it.
  SampleInput DrawInput(std::span<const TokenId> tokens, std::span<const float> logits) const;
  // Takes the token that was drawn and makes a sequence of `length` with it.
  absl::StatusOr<GenerationEvent> Add(const SampledToken& sampled, uint64_t length);
  // All text, also what is still held back: nothing follows it.
  std::string TakeReply();

  size_t count() const { return count_; }              // tokens generated
  const std::string& reply() const { return reply_; }  // all text that was given out

 private:
  void Flush(std::string* text);

  const Model& model_;
  const SamplingParams params_;
  const uint64_t request_;
  size_t count_ = 0;
  std::optional<StreamingDecoder> decoder_;  // none without a tokenizer
  StopMatcher stops_;
  std::string reply_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_GENERATION_H_
