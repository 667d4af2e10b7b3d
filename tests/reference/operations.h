// The operations of a decoder (lib/backend/backend.h) in double precision, as their definitions
// read. Matrices are row-major; inputs are the values that the operation under test is given,
// weights what they are stored as.
#ifndef LLMCORE_TESTS_REFERENCE_OPERATIONS_H_
#define LLMCORE_TESTS_REFERENCE_OPERATIONS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "tests/reference/number_formats.h"

namespace llmcore::reference {

struct Table {
  size_t rows = 0;
  size_t columns = 0;
  std::vector<double> values;

  Table() = default;
  Table(size_t row_count, size_t column_count)
      : rows(row_count), columns(column_count), values(row_count * column_count) {}
  double& at(size_t row, size_t column) { return values[row * columns + column]; }
  double at(size_t row, size_t column) const { return values[row * columns + column]; }
};

Table Embed(const Table& table, const std::vector<int32_t>& tokens);
Table GatherRows(const Table& in, const std::vector<int32_t>& rows);

// in / sqrt(mean(in^2) + epsilon) * weight.
Table RmsNorm(const Table& in, const std::vector<double>& weight, double epsilon);

// in * weight^T + bias + residual; bias and residual may be empty.
Table Linear(const Table& in, const Table& weight, const std::vector<double>& bias,
             const std::vector<double>& residual);

// The same where both factors are codes: sums of integers, scaled a block at a time.
Table LinearOfCodes(const std::vector<QuantizedRow>& in, const std::vector<QuantizedRow>& weight,
                    const std::vector<double>& bias, const std::vector<double>& residual);

enum class Activation { kSilu, kGeluTanh, kGelu };
double Activate(Activation activation, double value);

// activation(gates) * ups, element by element.
Table Gate(Activation activation, const Table& gates, const Table& ups);

// A KV cache whose slots are [layer][block][token of the block][kv head][dimension].
struct PagedCache {
  size_t layers = 0;
  size_t blocks = 0;
  size_t block_tokens = 0;
  size_t kv_heads = 0;
  size_t head_dim = 0;
  // What the cache's format makes of one head of one token.
  std::function<std::vector<double>(const std::vector<double>&)> store;
  std::vector<double> keys;  // NaN where nothing was written
  std::vector<double> values;

  void Clear();
  size_t Slot(size_t layer, size_t block, size_t token, size_t head) const {
    return (((layer * blocks + block) * block_tokens + token) * kv_heads + head) * head_dim;
  }
};

// One sequence's part of a step.
struct SequenceRun {
  size_t first_row = 0;
  size_t rows = 0;
  size_t first_position = 0;
  std::vector<int32_t> blocks;
};

// qkv: [rows, (heads + 2 * kv_heads) * head_dim]. Norms of heads may be empty; cos_sin is
// [rows, head_dim]. Rotates element i with element i + head_dim / 2; q is updated in place, k and v
// are written to the cache.
void RopeAppend(size_t heads, const std::vector<double>& q_norm, const std::vector<double>& k_norm,
                double epsilon, const Table& cos_sin, size_t layer,
                const std::vector<SequenceRun>& runs, Table* qkv, PagedCache* cache);

// softmax(scale * q k^T) v over the positions up to the row's own, of which the last `window` count
// when it is not 0.
Table Attention(const Table& qkv, size_t heads, double scale, size_t window, size_t layer,
                const std::vector<SequenceRun>& runs, const PagedCache& cache);

void CopyBlocks(const std::vector<int32_t>& from, const std::vector<int32_t>& to,
                PagedCache* cache);

}  // namespace llmcore::reference

#endif  // LLMCORE_TESTS_REFERENCE_OPERATIONS_H_
