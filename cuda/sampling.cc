// Sample.
#include "cuda/kernels/sampling.h"

#include "cuda/cuda_backend.h"

namespace llmcore::cuda {

bool CudaBackend::Samples(int64_t vocabulary) const {
  return vocabulary > 0 && vocabulary <= kMaxSampledVocabulary;
}

absl::Status CudaBackend::Sample(const core::StepContext& context, const core::SampleParams& p) {
  LLMCORE_RETURN_IF_ERROR(Begin(context, "sample"));
  if (p.logits.rows == 0) return absl::OkStatus();
  SampleKernelParams params = {};
  params.logits = p.logits.data;
  params.vocabulary = static_cast<int32_t>(p.logits.columns);
  params.rows = static_cast<int32_t>(p.logits.rows);
  params.draws = p.draws;
  params.tokens = p.tokens;
  return End(context, LaunchSample(params, device_->stream()), "sample");
}

}  // namespace llmcore::cuda
