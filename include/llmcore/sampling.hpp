// How the next token is chosen.
#ifndef LLMCORE_SAMPLING_HPP_
#define LLMCORE_SAMPLING_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llmcore/error.hpp"
#include "llmcore/handle.hpp"
#include "llmcore/llmcore.h"

namespace llmcore {
inline namespace v1 {

// What is left alone follows the model's generation_config.json, then the default that llmcore.h
// names at the setter. Values that are out of range are an error of the generation.
struct SamplingParams {
  std::optional<float> temperature{};         // 0: always the most likely token
  std::optional<uint32_t> top_k{};            // 0: all
  std::optional<float> top_p{};               // 0 to 1
  std::optional<float> min_p{};               // 0 to 1
  std::optional<float> typical_p{};           // above 0, to 1
  std::optional<float> repetition_penalty{};  // above 0; 1: none
  std::optional<float> frequency_penalty{};   // -2 to 2
  std::optional<float> presence_penalty{};    // -2 to 2
  std::optional<uint64_t> seed{};             // unset: a new one each time
  std::optional<uint64_t> max_tokens{};       // unset: until the model ends or the context is full
  std::vector<std::string> stop{};            // texts that end the reply and are not part of it
  std::vector<std::pair<Token, float>> logit_bias{};
  uint32_t logprobs = 0;  // alternatives to report with each token, to 1024
  bool ignore_eos = false;
};

namespace internal {

using SamplingHandle = Handle<llmcore_sampling_params, llmcore_sampling_params_destroy>;

inline Result<SamplingHandle> MakeSamplingParams(const SamplingParams& from) {
  llmcore_sampling_params* to = nullptr;
  if (llmcore_error* error = llmcore_sampling_params_create(&to)) return Error::Take(error);
  SamplingHandle owned(to);
  FirstError check;
  if (from.temperature) check(llmcore_sampling_params_set_temperature(to, *from.temperature));
  if (from.top_k) check(llmcore_sampling_params_set_top_k(to, *from.top_k));
  if (from.top_p) check(llmcore_sampling_params_set_top_p(to, *from.top_p));
  if (from.min_p) check(llmcore_sampling_params_set_min_p(to, *from.min_p));
  if (from.typical_p) check(llmcore_sampling_params_set_typical_p(to, *from.typical_p));
  if (from.repetition_penalty) {
    check(llmcore_sampling_params_set_repetition_penalty(to, *from.repetition_penalty));
  }
  if (from.frequency_penalty) {
    check(llmcore_sampling_params_set_frequency_penalty(to, *from.frequency_penalty));
  }
  if (from.presence_penalty) {
    check(llmcore_sampling_params_set_presence_penalty(to, *from.presence_penalty));
  }
  if (from.seed) check(llmcore_sampling_params_set_seed(to, *from.seed));
  if (from.max_tokens) check(llmcore_sampling_params_set_max_tokens(to, *from.max_tokens));
  for (const std::string& text : from.stop) {
    check(llmcore_sampling_params_add_stop(to, text.data(), text.size()));
  }
  for (const std::pair<Token, float>& bias : from.logit_bias) {
    check(llmcore_sampling_params_add_logit_bias(to, bias.first, bias.second));
  }
  check(llmcore_sampling_params_set_logprobs(to, from.logprobs));
  check(llmcore_sampling_params_set_ignore_eos(to, from.ignore_eos));
  if (!check.ok()) return check.Take();
  return Result<SamplingHandle>(std::move(owned));
}

}  // namespace internal
}  // namespace v1
}  // namespace llmcore

#endif  // LLMCORE_SAMPLING_HPP_
