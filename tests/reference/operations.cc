#include "tests/reference/operations.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace llmcore::reference {
namespace {

constexpr size_t kBlock = 128;

// Rows of `table` by index.
Table Select(const Table& table, const std::vector<int32_t>& indexes) {
  Table out(indexes.size(), table.columns);
  for (size_t row = 0; row < indexes.size(); ++row) {
    for (size_t column = 0; column < table.columns; ++column) {
      out.at(row, column) = table.at(static_cast<size_t>(indexes[row]), column);
    }
  }
  return out;
}

void AddBiasAndResidual(const std::vector<double>& bias, const std::vector<double>& residual,
                        Table* out) {
  for (size_t row = 0; row < out->rows; ++row) {
    for (size_t column = 0; column < out->columns; ++column) {
      if (!bias.empty()) out->at(row, column) += bias[column];
      if (!residual.empty()) out->at(row, column) += residual[row * out->columns + column];
    }
  }
}

void NormalizeHead(const std::vector<double>& weight, double epsilon, double* head) {
  if (weight.empty()) return;
  double squares = 0;
  for (size_t i = 0; i < weight.size(); ++i) squares += head[i] * head[i];
  const double divisor = std::sqrt(squares / static_cast<double>(weight.size()) + epsilon);
  for (size_t i = 0; i < weight.size(); ++i) head[i] = head[i] / divisor * weight[i];
}

// The pair (x, y) is the complex number x + iy, multiplied with cos + i sin.
void Rotate(const double* cos_sin, size_t head_dim, double* head) {
  const size_t half = head_dim / 2;
  for (size_t i = 0; i < half; ++i) {
    const double cosine = cos_sin[i];
    const double sine = cos_sin[half + i];
    const double x = head[i];
    const double y = head[half + i];
    head[i] = x * cosine - y * sine;
    head[half + i] = x * sine + y * cosine;
  }
}

}  // namespace

Table Embed(const Table& table, const std::vector<int32_t>& tokens) {
  return Select(table, tokens);
}

Table GatherRows(const Table& in, const std::vector<int32_t>& rows) {
  return Select(in, rows);
}

Table RmsNorm(const Table& in, const std::vector<double>& weight, double epsilon) {
  Table out = in;
  for (size_t row = 0; row < in.rows; ++row) {
    NormalizeHead(weight, epsilon, &out.values[row * in.columns]);
  }
  return out;
}

Table Linear(const Table& in, const Table& weight, const std::vector<double>& bias,
             const std::vector<double>& residual) {
  Table out(in.rows, weight.rows);
  for (size_t row = 0; row < in.rows; ++row) {
    for (size_t output = 0; output < weight.rows; ++output) {
      double sum = 0;
      for (size_t k = 0; k < in.columns; ++k) sum += in.at(row, k) * weight.at(output, k);
      out.at(row, output) = sum;
    }
  }
  AddBiasAndResidual(bias, residual, &out);
  return out;
}

Table LinearOfCodes(const std::vector<QuantizedRow>& in, const std::vector<QuantizedRow>& weight,
                    const std::vector<double>& bias, const std::vector<double>& residual) {
  Table out(in.size(), weight.size());
  for (size_t row = 0; row < in.size(); ++row) {
    for (size_t output = 0; output < weight.size(); ++output) {
      double sum = 0;
      const std::vector<int>& a = in[row].codes;
      const std::vector<int>& b = weight[output].codes;
      for (size_t begin = 0; begin < a.size(); begin += kBlock) {
        int64_t dot = 0;
        for (size_t k = begin; k < std::min(begin + kBlock, a.size()); ++k) {
          dot += int64_t{a[k]} * int64_t{b[k]};
        }
        const size_t block = begin / kBlock;
        sum += static_cast<double>(dot) * in[row].scales[block] * weight[output].scales[block];
      }
      out.at(row, output) = sum;
    }
  }
  AddBiasAndResidual(bias, residual, &out);
  return out;
}

double Activate(Activation activation, double value) {
  switch (activation) {
    case Activation::kSilu:
      return value / (1 + std::exp(-value));
    case Activation::kGeluTanh:
      return value / 2 *
             (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) *
                            (value + 0.044715 * value * value * value)));
    case Activation::kGelu:
      return value / 2 * std::erfc(-value / std::sqrt(2.0));
  }
  return 0;
}

Table Gate(Activation activation, const Table& gates, const Table& ups) {
  Table out(gates.rows, gates.columns);
  for (size_t i = 0; i < out.values.size(); ++i) {
    out.values[i] = Activate(activation, gates.values[i]) * ups.values[i];
  }
  return out;
}

void PagedCache::Clear() {
  const size_t size = layers * blocks * block_tokens * kv_heads * head_dim;
  keys.assign(size, std::numeric_limits<double>::quiet_NaN());
  values = keys;
}

void RopeAppend(size_t heads, const std::vector<double>& q_norm, const std::vector<double>& k_norm,
                double epsilon, const Table& cos_sin, size_t layer,
                const std::vector<SequenceRun>& runs, Table* qkv, PagedCache* cache) {
  const size_t head_dim = cache->head_dim;
  for (const SequenceRun& run : runs) {
    for (size_t i = 0; i < run.rows; ++i) {
      const size_t row = run.first_row + i;
      const size_t position = run.first_position + i;
      const double* angles = &cos_sin.values[row * head_dim];
      double* vectors = &qkv->values[row * qkv->columns];
      for (size_t head = 0; head < heads; ++head) {
        NormalizeHead(q_norm, epsilon, vectors + head * head_dim);
        Rotate(angles, head_dim, vectors + head * head_dim);
      }
      const auto block = static_cast<size_t>(run.blocks[position / cache->block_tokens]);
      for (size_t head = 0; head < cache->kv_heads; ++head) {
        const double* key = vectors + (heads + head) * head_dim;
        const double* value = key + cache->kv_heads * head_dim;
        std::vector<double> rotated(key, key + head_dim);
        NormalizeHead(k_norm, epsilon, rotated.data());
        Rotate(angles, head_dim, rotated.data());
        const size_t slot = cache->Slot(layer, block, position % cache->block_tokens, head);
        const std::vector<double> stored_key = cache->store(rotated);
        const std::vector<double> stored_value = cache->store({value, value + head_dim});
        for (size_t d = 0; d < head_dim; ++d) {
          cache->keys[slot + d] = stored_key[d];
          cache->values[slot + d] = stored_value[d];
        }
      }
    }
  }
}

Table Attention(const Table& qkv, size_t heads, double scale, size_t window, size_t layer,
                const std::vector<SequenceRun>& runs, const PagedCache& cache) {
  const size_t head_dim = cache.head_dim;
  Table out(qkv.rows, heads * head_dim);
  for (const SequenceRun& run : runs) {
    for (size_t i = 0; i < run.rows; ++i) {
      const size_t row = run.first_row + i;
      const size_t end = run.first_position + i + 1;
      const size_t begin = window > 0 && window < end ? end - window : 0;
      for (size_t head = 0; head < heads; ++head) {
        const double* query = &qkv.values[row * qkv.columns + head * head_dim];
        const auto slot = [&](size_t position) {
          const auto block = static_cast<size_t>(run.blocks[position / cache.block_tokens]);
          return cache.Slot(layer, block, position % cache.block_tokens,
                            head / (heads / cache.kv_heads));
        };
        std::vector<double> scores;
        for (size_t position = begin; position < end; ++position) {
          double score = 0;
          for (size_t d = 0; d < head_dim; ++d) score += query[d] * cache.keys[slot(position) + d];
          scores.push_back(scale * score);
        }
        const double largest = *std::max_element(scores.begin(), scores.end());
        double sum = 0;
        for (double& score : scores) sum += score = std::exp(score - largest);
        for (size_t position = begin; position < end; ++position) {
          const double probability = scores[position - begin] / sum;
          for (size_t d = 0; d < head_dim; ++d) {
            out.at(row, head * head_dim + d) += probability * cache.values[slot(position) + d];
          }
        }
      }
    }
  }
  return out;
}

void CopyBlocks(const std::vector<int32_t>& from, const std::vector<int32_t>& to,
                PagedCache* cache) {
  const size_t block_size = cache->block_tokens * cache->kv_heads * cache->head_dim;
  for (size_t i = 0; i < from.size(); ++i) {
    for (size_t layer = 0; layer < cache->layers; ++layer) {
      const size_t source = cache->Slot(layer, static_cast<size_t>(from[i]), 0, 0);
      const size_t target = cache->Slot(layer, static_cast<size_t>(to[i]), 0, 0);
      for (size_t k = 0; k < block_size; ++k) {
        cache->keys[target + k] = cache->keys[source + k];
        cache->values[target + k] = cache->values[source + k];
      }
    }
  }
}

}  // namespace llmcore::reference
