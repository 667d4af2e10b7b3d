#include "capi/sampling_params.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "capi/arguments.h"
#include "capi/error.h"
#include "lib/sampling/params.h"

namespace llmcore::capi {
namespace {

using core::GenerationParams;
using core::SamplingParams;

// Sets one field: `set(&probe)` puts it into parameters of the sampler, which validates it, and
// `keep(&params)` into those of the handle.
template <typename Set, typename Keep>
llmcore_error* SetField(llmcore_sampling_params* params, const Set& set, const Keep& keep) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(NotNull(params, "params"));
    SamplingParams probe;
    set(&probe);
    LLMCORE_RETURN_IF_ERROR(probe.Validate());
    keep(&params->params);
    return absl::OkStatus();
  });
}

// The same for a field of one name and value in both.
template <typename Value, typename ProbeValue, typename KeptValue>
llmcore_error* SetField(llmcore_sampling_params* params, Value value,
                        ProbeValue SamplingParams::*probed, KeptValue GenerationParams::*kept) {
  return SetField(
      params, [&](SamplingParams* probe) { probe->*probed = value; },
      [&](GenerationParams* to) { to->*kept = value; });
}

}  // namespace
}  // namespace llmcore::capi

using namespace llmcore::capi;  // NOLINT: the functions below are in no namespace
using llmcore::core::GenerationParams;
using llmcore::core::SamplingParams;

llmcore_error* llmcore_sampling_params_create(llmcore_sampling_params** out_params) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_params, "out_params"));
    *out_params = new llmcore_sampling_params;
    return absl::OkStatus();
  });
}

void llmcore_sampling_params_destroy(llmcore_sampling_params* params) {
  delete params;
}

llmcore_error* llmcore_sampling_params_set_temperature(llmcore_sampling_params* params,
                                                       float temperature) {
  return SetField(params, temperature, &SamplingParams::temperature,
                  &GenerationParams::temperature);
}

llmcore_error* llmcore_sampling_params_set_top_k(llmcore_sampling_params* params, uint32_t top_k) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(NotNull(params, "params"));
    LLMCORE_RETURN_IF_ERROR(InRange(top_k, 0, INT32_MAX, "top_k"));
    params->params.top_k = static_cast<int32_t>(top_k);
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_sampling_params_set_top_p(llmcore_sampling_params* params, float top_p) {
  return SetField(params, top_p, &SamplingParams::top_p, &GenerationParams::top_p);
}

llmcore_error* llmcore_sampling_params_set_min_p(llmcore_sampling_params* params, float min_p) {
  return SetField(params, min_p, &SamplingParams::min_p, &GenerationParams::min_p);
}

llmcore_error* llmcore_sampling_params_set_typical_p(llmcore_sampling_params* params,
                                                     float typical_p) {
  return SetField(params, typical_p, &SamplingParams::typical_p, &GenerationParams::typical_p);
}

llmcore_error* llmcore_sampling_params_set_repetition_penalty(llmcore_sampling_params* params,
                                                              float penalty) {
  return SetField(params, penalty, &SamplingParams::repetition_penalty,
                  &GenerationParams::repetition_penalty);
}

llmcore_error* llmcore_sampling_params_set_frequency_penalty(llmcore_sampling_params* params,
                                                             float penalty) {
  return SetField(params, penalty, &SamplingParams::frequency_penalty,
                  &GenerationParams::frequency_penalty);
}

llmcore_error* llmcore_sampling_params_set_presence_penalty(llmcore_sampling_params* params,
                                                            float penalty) {
  return SetField(params, penalty, &SamplingParams::presence_penalty,
                  &GenerationParams::presence_penalty);
}

llmcore_error* llmcore_sampling_params_set_seed(llmcore_sampling_params* params, uint64_t seed) {
  return SetField(params, seed, &SamplingParams::seed, &GenerationParams::seed);
}

llmcore_error* llmcore_sampling_params_set_max_tokens(llmcore_sampling_params* params,
                                                      uint64_t tokens) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(NotNull(params, "params"));
    LLMCORE_RETURN_IF_ERROR(InRange(tokens, 1, INT32_MAX, "max_tokens"));
    params->params.max_tokens = static_cast<int32_t>(tokens);
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_sampling_params_add_stop(llmcore_sampling_params* params, const char* text,
                                                size_t text_size) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(NotNull(params, "params"));
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view stop, Text(text, text_size, "stop"));
    SamplingParams probe;
    probe.stop = params->params.stops;
    probe.stop.emplace_back(stop);
    LLMCORE_RETURN_IF_ERROR(probe.Validate());
    params->params.stops = std::move(probe.stop);
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_sampling_params_add_logit_bias(llmcore_sampling_params* params,
                                                      llmcore_token token, float bias) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(NotNull(params, "params"));
    SamplingParams probe;
    probe.logit_bias.emplace_back(token, bias);
    LLMCORE_RETURN_IF_ERROR(probe.Validate());
    std::vector<std::pair<llmcore::core::TokenId, float>>& biases = params->params.logit_bias;
    const auto place =
        std::lower_bound(biases.begin(), biases.end(), token,
                         [](const auto& entry, llmcore_token t) { return entry.first < t; });
    if (place != biases.end() && place->first == token) {
      place->second = bias;
    } else {
      biases.emplace(place, token, bias);
    }
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_sampling_params_set_logprobs(llmcore_sampling_params* params,
                                                    uint32_t count) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(NotNull(params, "params"));
    LLMCORE_RETURN_IF_ERROR(InRange(count, 0, SamplingParams::kMaxLogprobs, "logprobs"));
    params->params.logprobs = static_cast<int32_t>(count);
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_sampling_params_set_ignore_eos(llmcore_sampling_params* params,
                                                      bool ignore_eos) {
  return SetField(params, ignore_eos, &SamplingParams::ignore_eos, &GenerationParams::ignore_eos);
}
