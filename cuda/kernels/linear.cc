#include "cuda/kernels/linear.h"

#include "cuda/kernels/linear_formats.h"

namespace llmcore::cuda {
namespace {

cudaError_t LaunchAny(Storage storage, Precision precision, bool gated,
                      const LinearKernelParams& params, cudaStream_t stream) {
  switch (storage) {
    case Storage::kF32:
      return LaunchLinearF32(gated, params, stream);
    case Storage::kF16:
      return LaunchLinearF16(gated, params, stream);
    case Storage::kBf16:
      return LaunchLinearBf16(gated, params, stream);
    case Storage::kInt8:
      return LaunchLinearInt8(gated, precision, params, stream);
    case Storage::kInt4Zeros:
      return LaunchLinearInt4Zeros(gated, precision, params, stream);
    case Storage::kInt4:
      break;
  }
  return LaunchLinearInt4(gated, precision, params, stream);
}

}  // namespace

cudaError_t LaunchLinear(Storage storage, Precision precision, const LinearKernelParams& params,
                         cudaStream_t stream) {
  return LaunchAny(storage, precision, /*gated=*/false, params, stream);
}

cudaError_t LaunchLinearGated(Storage storage, Precision precision,
                              const LinearKernelParams& params, cudaStream_t stream) {
  return LaunchAny(storage, precision, /*gated=*/true, params, stream);
}

}  // namespace llmcore::cuda
