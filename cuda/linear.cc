// Linear and LinearGated: which kernels, with what.
#include "cuda/kernels/linear.h"

#include "cuda/cuda_backend.h"
#include "cuda/many_tokens.h"
#include "cuda/shapes.h"

namespace llmcore::cuda {
namespace {

using core::ActivationFormat;
using core::WeightFormat;

Precision PrecisionOf(WeightFormat weights, ActivationFormat activations) {
  const bool quantized = weights == WeightFormat::kInt8 || weights == WeightFormat::kInt4;
  return quantized && activations == ActivationFormat::kInt8 ? Precision::kRounded
                                                             : Precision::kExact;
}

bool IsAligned(const float* data) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0;
}

LinearKernelParams ParamsOf(const core::Matrix& in, const core::InputNorm& norm,
                            const core::PackedWeight& weight, const core::Matrix& out) {
  LinearKernelParams params = {};
  params.weight = static_cast<const unsigned char*>(weight.data);
  params.in = in.data;
  params.out = out.data;
  params.tokens = static_cast<int32_t>(in.rows);
  params.columns = static_cast<int32_t>(in.columns);
  params.outputs = static_cast<int32_t>(out.columns);
  params.groups = static_cast<int32_t>(Groups(in.columns));
  params.norm = norm.weight;
  params.epsilon = norm.epsilon;
  params.vector_loads = in.columns % 4 == 0 && IsAligned(in.data) && IsAligned(norm.weight);
  return params;
}

GateFunction GateOf(core::GateActivation activation) {
  switch (activation) {
    case core::GateActivation::kSilu:
      return GateFunction::kSilu;
    case core::GateActivation::kGeluTanh:
      return GateFunction::kGeluTanh;
    case core::GateActivation::kGelu:
      break;
  }
  return GateFunction::kGelu;
}

}  // namespace

absl::Status CudaBackend::Multiply(const core::StepContext& context,
                                   const ManyTokensProduct& product, absl::string_view operation) {
  if (gemm_ != nullptr && product.params.tokens >= many_tokens_ &&
      ServesManyTokens(gemm_.get(), product)) {
    LLMCORE_RETURN_IF_ERROR(
        LaunchManyTokens(device_.get(), gemm_.get(), product, context.workspace));
    return End(context, cudaSuccess, operation);
  }
  const auto launch = product.gated ? LaunchLinearGated : LaunchLinear;
  return End(context, launch(product.storage, product.precision, product.params, device_->stream()),
             operation);
}

absl::Status CudaBackend::Linear(const core::StepContext& context, const core::LinearParams& p) {
  LLMCORE_RETURN_IF_ERROR(Begin(context, "linear"));
  if (p.out.rows == 0 || p.out.columns == 0) return absl::OkStatus();
  LinearKernelParams params = ParamsOf(p.in, p.norm, p.weight, p.out);
  params.bias = p.bias;
  params.residual = p.residual;
  const WeightFormat format = p.weight.shape.format;
  return Multiply(context,
                  {StorageOf(format), PrecisionOf(format, p.activation_format), false, params},
                  "linear");
}

absl::Status CudaBackend::LinearGated(const core::StepContext& context,
                                      const core::LinearGatedParams& p) {
  LLMCORE_RETURN_IF_ERROR(Begin(context, "linear_gated"));
  if (p.out.rows == 0 || p.out.columns == 0) return absl::OkStatus();
  LinearKernelParams params = ParamsOf(p.in, p.norm, p.weight, p.out);
  params.bias = p.gate_bias;
  params.up_bias = p.up_bias;
  params.gate = GateOf(p.activation);
  const WeightFormat format = p.weight.shape.format;
  return Multiply(context,
                  {StorageOf(format), PrecisionOf(format, p.activation_format), true, params},
                  "linear_gated");
}

}  // namespace llmcore::cuda
