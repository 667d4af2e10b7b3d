#include "cuda/gemm.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace llmcore::cuda {
namespace {

using namespace cublas_lt;  // NOLINT: its names are only of use here

}  // namespace

absl::StatusOr<std::unique_ptr<Gemm>> Gemm::Open(int64_t most_tokens) {
  LLMCORE_ASSIGN_OR_RETURN(const CublasLt library, OpenCublasLt());
  std::unique_ptr<Gemm> gemm(new Gemm(library, most_tokens));
  if (const absl::Status status = gemm->Initialize(); !status.ok()) {
    return absl::UnavailableError(status.message());
  }
  return gemm;
}

// The library is column-major: to it `weight` is [depth, rows] and transposed, `in` [depth, tokens]
// and `out` [rows, tokens].
absl::Status Gemm::Initialize() {
  LLMCORE_RETURN_IF_ERROR(StatusOf(library_.create(&handle_), "cublasLtCreate"));
  LLMCORE_RETURN_IF_ERROR(
      StatusOf(library_.desc_create(&desc_, kCompute32F, kTypeF32), "cublasLtMatmulDescCreate"));
  LLMCORE_RETURN_IF_ERROR(
      StatusOf(library_.desc_set(desc_, kDescTransposeA, &kTransposed, sizeof kTransposed),
               "cublasLtMatmulDescSetAttribute"));
  LLMCORE_RETURN_IF_ERROR(
      StatusOf(library_.preference_create(&preference_), "cublasLtMatmulPreferenceCreate"));
  LLMCORE_RETURN_IF_ERROR(
      StatusOf(library_.preference_set(preference_, kPreferenceMaxWorkspaceBytes, &kWorkspaceBytes,
                                       sizeof kWorkspaceBytes),
               "cublasLtMatmulPreferenceSetAttribute"));
  for (const auto& [layout, type] :
       {std::pair(&weight_, kTypeBf16), std::pair(&in_, kTypeBf16), std::pair(&out_, kTypeF32)}) {
    LLMCORE_RETURN_IF_ERROR(
        StatusOf(library_.layout_create(layout, type, 16, 16, 16), "cublasLtMatrixLayoutCreate"));
  }
  return absl::OkStatus();
}

Gemm::~Gemm() {
  for (const MatrixLayout layout : {weight_, in_, out_}) {
    if (layout != nullptr) (void)library_.layout_destroy(layout);
  }
  if (preference_ != nullptr) (void)library_.preference_destroy(preference_);
  if (desc_ != nullptr) (void)library_.desc_destroy(desc_);
  if (handle_ != nullptr) (void)library_.destroy(handle_);
}

absl::Status Gemm::StatusOf(Status status, absl::string_view call) const {
  if (status == kSuccess) return absl::OkStatus();
  const char* const name = library_.get_status_name(status);
  const std::string text =
      absl::StrCat("CUDA: ", call, ": ", name == nullptr ? "unknown status" : name);
  return status == kAllocFailed ? absl::ResourceExhaustedError(text) : absl::InternalError(text);
}

absl::Status Gemm::SetShape(int64_t rows, int64_t depth, int64_t tokens) {
  const auto set = [&](MatrixLayout layout, int64_t of_rows, int64_t of_columns) -> absl::Status {
    const auto row_count = static_cast<uint64_t>(of_rows);
    const auto column_count = static_cast<uint64_t>(of_columns);
    Status status = library_.layout_set(layout, kLayoutRows, &row_count, sizeof row_count);
    if (status == kSuccess) {
      status = library_.layout_set(layout, kLayoutColumns, &column_count, sizeof column_count);
    }
    if (status == kSuccess) {
      status = library_.layout_set(layout, kLayoutLeadingDimension, &of_rows, sizeof of_rows);
    }
    return StatusOf(status, "cublasLtMatrixLayoutSetAttribute");
  };
  LLMCORE_RETURN_IF_ERROR(set(weight_, depth, rows));
  LLMCORE_RETURN_IF_ERROR(set(in_, depth, tokens));
  return set(out_, rows, tokens);
}

const Gemm::Choice& Gemm::ChoiceFor(int64_t rows, int64_t depth) {
  for (const Choice& choice : choices_) {
    if (choice.rows == rows && choice.depth == depth) return choice;
  }
  Choice& choice = choices_[next_choice_];
  next_choice_ = (next_choice_ + 1) % choices_.size();
  choice = {rows, depth, false, {}};
  if (!SetShape(rows, depth, most_tokens_).ok()) return choice;
  HeuristicResult result = {};
  int found = 0;
  choice.served = library_.get_heuristic(handle_, desc_, weight_, in_, out_, out_, preference_, 1,
                                         &result, &found) == kSuccess &&
                  found == 1 && result.state == kSuccess &&
                  result.workspace_bytes <= kWorkspaceBytes;
  choice.algorithm = result.algorithm;
  return choice;
}

bool Gemm::Serves(int64_t rows, int64_t depth) {
  return ChoiceFor(rows, depth).served;
}

absl::Status Gemm::Multiply(const Product& product, std::span<std::byte> workspace,
                            cudaStream_t stream) {
  const Choice& choice = ChoiceFor(product.rows, product.depth);
  if (!choice.served) return StatusOf(kNotSupported, "cublasLtMatmulAlgoGetHeuristic");
  LLMCORE_RETURN_IF_ERROR(SetShape(product.rows, product.depth, product.tokens));
  const float one = 1;
  const float beta = product.add ? 1 : 0;
  return StatusOf(library_.matmul(handle_, desc_, &one, product.weight, weight_, product.in, in_,
                                  &beta, product.out, out_, product.out, out_, &choice.algorithm,
                                  workspace.data(), workspace.size(), stream),
                  "cublasLtMatmul");
}

}  // namespace llmcore::cuda
