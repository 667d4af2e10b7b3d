#include "lib/sampling/params.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"

namespace llmcore::core {
namespace {

absl::Status OutOfRange(absl::string_view field, absl::string_view range, double value) {
  return absl::InvalidArgumentError(absl::StrCat(field, " must be ", range, ", is ", value));
}

absl::Status ValidateStops(const std::vector<std::string>& stops) {
  size_t bytes = 0;
  for (const std::string& stop : stops) {
    if (stop.empty()) return absl::InvalidArgumentError("stop must not hold an empty string");
    if (!IsValidUtf8(stop)) return absl::InvalidArgumentError("stop must be valid UTF-8");
    bytes += stop.size();
  }
  if (bytes > SamplingParams::kMaxStopBytes) {
    return absl::InvalidArgumentError(absl::StrCat("stop must hold at most ",
                                                   SamplingParams::kMaxStopBytes,
                                                   " bytes together, holds ", bytes));
  }
  return absl::OkStatus();
}

absl::Status ValidateBias(const std::vector<std::pair<int32_t, float>>& bias) {
  int64_t previous = -1;
  for (const auto& [token, value] : bias) {
    if (token < 0 || token <= previous) {
      return absl::InvalidArgumentError(
          absl::StrCat("logit_bias must name each token once, in increasing order and none below "
                       "0; token ",
                       token, " follows ", previous));
    }
    if (std::isnan(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("logit_bias of token ", token, " must be a number, is nan"));
    }
    previous = token;
  }
  return absl::OkStatus();
}

}  // namespace

// Comparisons are written so that NaN fails them.
absl::Status SamplingParams::Validate() const {
  if (!(temperature >= 0 && std::isfinite(temperature))) {
    return OutOfRange("temperature", "a finite number of at least 0", temperature);
  }
  if (top_k < 0) return OutOfRange("top_k", "at least 0", top_k);
  if (!(top_p >= 0 && top_p <= 1)) return OutOfRange("top_p", "between 0 and 1", top_p);
  if (!(min_p >= 0 && min_p <= 1)) return OutOfRange("min_p", "between 0 and 1", min_p);
  if (!(typical_p > 0 && typical_p <= 1)) {
    return OutOfRange("typical_p", "above 0 and at most 1", typical_p);
  }
  if (!(repetition_penalty > 0 && std::isfinite(repetition_penalty))) {
    return OutOfRange("repetition_penalty", "a finite number above 0", repetition_penalty);
  }
  if (!(frequency_penalty >= -2 && frequency_penalty <= 2)) {
    return OutOfRange("frequency_penalty", "between -2 and 2", frequency_penalty);
  }
  if (!(presence_penalty >= -2 && presence_penalty <= 2)) {
    return OutOfRange("presence_penalty", "between -2 and 2", presence_penalty);
  }
  if (max_tokens.value_or(0) < 0) return OutOfRange("max_tokens", "at least 0", *max_tokens);
  if (logprobs < 0 || logprobs > kMaxLogprobs) {
    return OutOfRange("logprobs", absl::StrCat("between 0 and ", kMaxLogprobs), logprobs);
  }
  LLMCORE_RETURN_IF_ERROR(ValidateStops(stop));
  return ValidateBias(logit_bias);
}

}  // namespace llmcore::core
