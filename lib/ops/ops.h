// The operations of a decoder: each checks the shapes that meet in a call, then runs on the
// backend. A mismatch is INTERNAL (the decoder is wrong), a token or block out of range
// INVALID_ARGUMENT.
#ifndef LLMCORE_LIB_OPS_OPS_H_
#define LLMCORE_LIB_OPS_OPS_H_

#include "absl/functional/function_ref.h"
#include "lib/backend/backend.h"
#include "lib/base/status.h"

namespace llmcore::core {

absl::Status Embed(Backend& backend, const StepContext& context, const EmbedParams& params);
absl::Status Norm(Backend& backend, const StepContext& context, const NormParams& params);
absl::Status Linear(Backend& backend, const StepContext& context, const LinearParams& params);
absl::Status LinearGated(Backend& backend, const StepContext& context,
                         const LinearGatedParams& params);
absl::Status RopeAppend(Backend& backend, const StepContext& context,
                        const RopeAppendParams& params);
absl::Status Attention(Backend& backend, const StepContext& context, const AttentionParams& params);
absl::Status GatherRows(Backend& backend, const StepContext& context,
                        const GatherRowsParams& params);
absl::Status CopyBlocks(Backend& backend, const StepContext& context,
                        const CopyBlocksParams& params);
absl::Status SwapBlocks(Backend& backend, const StepContext& context,
                        const SwapBlocksParams& params);
absl::Status Sample(Backend& backend, const StepContext& context, const SampleParams& params);

struct StepParams {
  int64_t vocabulary = 0;  // that tokens are of
  KvCache cache;
  StepInput input;
};
// Runs a step by `recorder`, or without one as `operations` does it. A recorder may not need its
// operations, so what they would check of its input is checked here.
absl::Status RunStep(StepRecorder* recorder, const StepContext& context, const StepParams& params,
                     absl::FunctionRef<absl::Status()> operations);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_OPS_OPS_H_
