#include "cuda/many_tokens.h"

#include <algorithm>

#include "cuda/kernels/panel.h"
#include "cuda/shapes.h"
#include "lib/base/checked.h"

namespace llmcore::cuda {
namespace {

constexpr uint64_t kAlignment = 256;
constexpr int64_t kMostActivationPieces = ActivationPieces(Precision::kExact);

uint64_t Bytes(int64_t count, uint64_t element) {
  return core::RoundUp(static_cast<uint64_t>(count) * element, kAlignment);
}

// Row tiles of a panel, an even number. At least a pair, however many columns there are.
int64_t PanelTiles(int64_t depth) {
  const auto pair_bytes = static_cast<uint64_t>(2 * kTileRows * depth) * sizeof(uint16_t);
  const auto pairs = static_cast<int64_t>(kPanelBytes / pair_bytes);
  return 2 * std::clamp<int64_t>(pairs, 1, kPanelRows / (2 * kTileRows));
}

// Parts of the workspace, by the depth of a product and its tokens: none of them is larger for
// fewer.
struct Sizes {
  uint64_t panel;
  uint64_t activations;
  uint64_t sums;
  uint64_t total() const { return panel + activations + sums + Gemm::kWorkspaceBytes; }
};

Sizes SizesOf(int64_t tokens, int64_t depth) {
  const uint64_t most = std::max(kPanelBytes, Bytes(2 * kTileRows * depth, sizeof(uint16_t)));
  return {std::min(most, Bytes(kPanelRows * depth, sizeof(uint16_t))),
          Bytes(kMostActivationPieces * tokens * depth, sizeof(uint16_t)),
          Bytes(tokens * kPanelRows, sizeof(float))};
}

// One product, tokens and rows of the weight cut into pieces that the workspace holds.
class Run {
 public:
  Run(Device* device, Gemm* gemm, const ManyTokensProduct& product, std::byte* memory,
      const Sizes& sizes)
      : device_(device),
        gemm_(gemm),
        product_(product),
        depth_(Depth(product.params.groups)),
        panel_(reinterpret_cast<uint16_t*>(memory)),
        activations_(reinterpret_cast<uint16_t*>(memory + sizes.panel)),
        sums_(reinterpret_cast<float*>(memory + sizes.panel + sizes.activations)),
        gemm_memory_(memory + sizes.panel + sizes.activations + sizes.sums, Gemm::kWorkspaceBytes) {
  }

  absl::Status Tokens(int64_t first, int64_t count) {
    LinearKernelParams part = product_.params;
    part.tokens = static_cast<int32_t>(count);
    part.in += first * part.columns;
    part.out += first * part.outputs;
    if (part.residual != nullptr) part.residual += first * part.outputs;
    ActivationsKernelParams params = {};
    params.in = part.in;
    params.norm = part.norm;
    params.epsilon = part.epsilon;
    params.tokens = part.tokens;
    params.columns = part.columns;
    params.groups = part.groups;
    params.vector_loads = part.vector_loads;
    params.out = activations_;
    LLMCORE_RETURN_IF_ERROR(Check(LaunchActivations(product_.precision, params, stream())));
    const int64_t tiles = RowTiles(part.outputs) * (product_.gated ? 2 : 1);
    const int64_t step = PanelTiles(depth_);
    for (int64_t tile = 0; tile < tiles; tile += step) {
      LLMCORE_RETURN_IF_ERROR(Panel(part, tile, std::min(step, tiles - tile)));
    }
    return absl::OkStatus();
  }

 private:
  cudaStream_t stream() const { return device_->stream(); }
  absl::Status Check(cudaError_t launched) {
    return device_->Check(launched, "a product of many tokens");
  }

  absl::Status Panel(const LinearKernelParams& part, int64_t first_tile, int64_t tiles) {
    DequantizeKernelParams dequantize = {};
    dequantize.tiles = part.weight + first_tile * part.groups * TileBytes(product_.storage);
    dequantize.row_tiles = static_cast<int32_t>(tiles);
    dequantize.groups = part.groups;
    dequantize.out = panel_;
    // Products of small pieces first, as in linear.cuh.
    bool add = false;
    const int pieces = PieceSum(product_.precision);
    for (int i = WeightPieces(product_.storage, product_.precision) - 1; i >= 0; --i) {
      dequantize.piece = i;
      LLMCORE_RETURN_IF_ERROR(
          Check(LaunchDequantize(product_.storage, product_.precision, dequantize, stream())));
      for (int j = pieces - i - 1; j >= 0; --j) {
        LLMCORE_RETURN_IF_ERROR(
            gemm_->Multiply({panel_, activations_ + j * part.tokens * depth_, sums_,
                             tiles * kTileRows, depth_, part.tokens, add},
                            gemm_memory_, stream()));
        add = true;
      }
    }
    OutputsKernelParams outputs = {};
    outputs.product = part;
    outputs.sums = sums_;
    outputs.panel_rows = static_cast<int32_t>(tiles * kTileRows);
    outputs.first_output = static_cast<int32_t>(first_tile * kTileRows / (product_.gated ? 2 : 1));
    return Check(LaunchOutputs(product_.gated, outputs, stream()));
  }

  Device* const device_;
  Gemm* const gemm_;
  const ManyTokensProduct& product_;
  const int64_t depth_;
  uint16_t* const panel_;
  uint16_t* const activations_;
  float* const sums_;
  const std::span<std::byte> gemm_memory_;
};

}  // namespace

uint64_t ManyTokensBytes(int64_t rows, int64_t columns) {
  const int64_t depth = Depth(Groups(columns));
  return SizesOf(std::min(rows, kPanelTokens), depth).total() + kAlignment;
}

bool ServesManyTokens(Gemm* gemm, const ManyTokensProduct& product) {
  if (product.params.columns == 0) return false;
  const int64_t depth = Depth(product.params.groups);
  const int64_t tiles = RowTiles(product.params.outputs) * (product.gated ? 2 : 1);
  const int64_t step = PanelTiles(depth);
  return (tiles < step || gemm->Serves(step * kTileRows, depth)) &&
         (tiles % step == 0 || gemm->Serves(tiles % step * kTileRows, depth));
}

absl::Status LaunchManyTokens(Device* device, Gemm* gemm, const ManyTokensProduct& product,
                              std::span<std::byte> workspace) {
  const int64_t tokens = product.params.tokens;
  const Sizes sizes = SizesOf(std::min(tokens, kPanelTokens), Depth(product.params.groups));
  if (workspace.size() < sizes.total() + kAlignment) {
    return absl::InternalError("a product of many tokens does not fit into the workspace");
  }
  // From the end, since a batch stands at the beginning.
  const auto end = reinterpret_cast<uintptr_t>(workspace.data() + workspace.size());
  std::byte* const memory = workspace.data() + workspace.size() - sizes.total() - end % kAlignment;
  Run run(device, gemm, product, memory, sizes);
  for (int64_t first = 0; first < tokens; first += kPanelTokens) {
    LLMCORE_RETURN_IF_ERROR(run.Tokens(first, std::min(kPanelTokens, tokens - first)));
  }
  return absl::OkStatus();
}

}  // namespace llmcore::cuda
