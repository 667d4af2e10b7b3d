// What an operation has to do at least, for the step trace: bytes that it must read and write
// (weights and cache once, its rows in and out) and its additions and multiplications.
#ifndef LLMCORE_LIB_OPS_WORK_H_
#define LLMCORE_LIB_OPS_WORK_H_

#include "lib/backend/backend.h"
#include "lib/backend/step_trace.h"

namespace llmcore::core {

OperationWork WorkOf(const Backend& backend, const EmbedParams& params);
OperationWork WorkOf(const Backend& backend, const NormParams& params);
OperationWork WorkOf(const Backend& backend, const LinearParams& params);
OperationWork WorkOf(const Backend& backend, const LinearGatedParams& params);
OperationWork WorkOf(const Backend& backend, const RopeAppendParams& params);
OperationWork WorkOf(const Backend& backend, const AttentionParams& params);
OperationWork WorkOf(const Backend& backend, const GatherRowsParams& params);
OperationWork WorkOf(const Backend& backend, const CopyBlocksParams& params);
OperationWork WorkOf(const Backend& backend, const SwapBlocksParams& params);
OperationWork WorkOf(const Backend& backend, const SampleParams& params);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_OPS_WORK_H_
