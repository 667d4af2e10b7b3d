#include <cstddef>
#include <memory>
#include <string>

#include "capi/arguments.h"
#include "capi/error.h"
#include "capi/model_options.h"
#include "lib/session/quantize_model.h"
#include "lib/tensor/int4.h"
#include "llmcore/llmcore.h"

namespace llmcore::capi {
namespace {

// Values that a buffer in memory can have.
constexpr uint64_t kMaxCount = PTRDIFF_MAX / sizeof(uint16_t);

}  // namespace
}  // namespace llmcore::capi

using namespace llmcore::capi;  // NOLINT: the functions below are in no namespace

llmcore_error* llmcore_quantize_int4(const uint16_t* values_bf16, uint64_t count,
                                     uint8_t* out_packed, uint16_t* out_scales_bf16) {
  return Barrier([&]() -> absl::Status {
    if (count == 0) return absl::OkStatus();
    LLMCORE_RETURN_IF_ERROR(NotNull(values_bf16, "values_bf16"));
    LLMCORE_RETURN_IF_ERROR(NotNull(out_packed, "out_packed"));
    LLMCORE_RETURN_IF_ERROR(NotNull(out_scales_bf16, "out_scales_bf16"));
    LLMCORE_RETURN_IF_ERROR(InRange(count, 1, kMaxCount, "count"));
    return llmcore::core::QuantizeInt4({values_bf16, static_cast<size_t>(count)}, out_packed,
                                       out_scales_bf16);
  });
}

llmcore_error* llmcore_dequantize_int4(const uint8_t* packed, const uint16_t* scales_bf16,
                                       uint64_t count, uint16_t* out_values_bf16) {
  return Barrier([&]() -> absl::Status {
    if (count == 0) return absl::OkStatus();
    LLMCORE_RETURN_IF_ERROR(NotNull(packed, "packed"));
    LLMCORE_RETURN_IF_ERROR(NotNull(scales_bf16, "scales_bf16"));
    LLMCORE_RETURN_IF_ERROR(NotNull(out_values_bf16, "out_values_bf16"));
    LLMCORE_RETURN_IF_ERROR(InRange(count, 1, kMaxCount, "count"));
    llmcore::core::DequantizeInt4(packed, scales_bf16, count, out_values_bf16);
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_quantize_checkpoint(const char* src, size_t src_size, const char* dst,
                                           size_t dst_size, const llmcore_model_options* options) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_ASSIGN_OR_RETURN(const std::string source, Path(src, src_size, "src"));
    LLMCORE_ASSIGN_OR_RETURN(const std::string destination, Path(dst, dst_size, "dst"));
    LLMCORE_ASSIGN_OR_RETURN(const llmcore::core::ModelOptions bound,
                             BindOptions(options, std::make_shared<CallbackMonitor>()));
    return llmcore::core::QuantizeModel(source, destination, bound);
  });
}
