// Draws that a device does (Backend::Sample), with the bits of Sampler.
#ifndef LLMCORE_LIB_SAMPLING_DEVICE_DRAW_H_
#define LLMCORE_LIB_SAMPLING_DEVICE_DRAW_H_

#include <cstdint>
#include <optional>

#include "lib/backend/draw.h"
#include "lib/base/status.h"
#include "lib/sampling/params.h"
#include "lib/sampling/philox.h"
#include "lib/sampling/sampler.h"

namespace llmcore::core {

// What a device is told. None for what only Sampler does: typical_p, penalties, logit_bias and
// logprobs of other tokens. `params` are valid.
std::optional<TokenDraw> DeviceDraw(const SamplingParams& params, const DrawKey& key);

// What Sampler would have returned for `position`, from what the device answered.
absl::StatusOr<SampledToken> FinishDraw(const DrawnToken& drawn, uint64_t position);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SAMPLING_DEVICE_DRAW_H_
