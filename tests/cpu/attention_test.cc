#include <algorithm>
#include <cmath>
#include <numeric>

#include "lib/cpu/kv_layout.h"
#include "tests/cpu/support.h"
#include "tests/reference/number_formats.h"

namespace llmcore::cpu {
namespace {

using core::Batch;
using core::KvCache;
using core::KvShape;

struct Heads {
  int32_t heads;
  int32_t kv_heads;
  int32_t head_dim;
  int32_t window = 0;

  int64_t columns() const { return int64_t{heads + 2 * kv_heads} * head_dim; }
};

// A cache, and sequences whose blocks are handed out in an order that is not ascending.
class Sequences {
 public:
  static constexpr int32_t kBlocks = 64;
  static constexpr int32_t kLayers = 2;
  static constexpr int32_t kLayer = 1;

  Sequences(Backend& backend, const Heads& h, KvFormat format, int32_t block_tokens)
      : backend_(backend), heads_(h) {
    cache_.shape = {format, kLayers, h.kv_heads, h.head_dim, block_tokens};
    cache_.blocks = kBlocks;
    auto memory = backend.Allocate(backend.KvBlockBytes(cache_.shape) * kBlocks * kLayers);
    EXPECT_TRUE(memory.ok()) << memory.status();
    memory_ = *std::move(memory);
    cache_.data = memory_->data();
    // What reused blocks hold must not matter: NaN everywhere.
    std::memset(memory_->data(), 0xFF, memory_->size());
    for (int32_t i = 0; i < kBlocks; ++i) free_.push_back((i * 37 + 11) % kBlocks);
  }

  // Appends and attends to runs of rows: counts[i] further rows of sequence ids[i].
  std::vector<float> Run(const std::vector<int>& ids, const std::vector<int32_t>& counts,
                         const std::vector<float>& qkv) {
    std::vector<int32_t> first_row = {0};
    std::vector<int32_t> first_position;
    std::vector<int32_t> table;
    constexpr int32_t kStride = 40;
    for (size_t i = 0; i < ids.size(); ++i) {
      auto& s = Sequence(ids[i]);
      first_position.push_back(s.length);
      first_row.push_back(first_row.back() + counts[i]);
      s.length += counts[i];
      const auto needed = static_cast<size_t>((s.length + cache_.shape.block_tokens - 1) /
                                              cache_.shape.block_tokens);
      while (s.blocks.size() < needed) {
        s.blocks.push_back(free_.back());
        free_.pop_back();
      }
      for (int32_t b = 0; b < kStride; ++b) {
        table.push_back(static_cast<size_t>(b) < s.blocks.size() ? s.blocks[b] : -1);
      }
    }
    const int64_t rows = first_row.back();
    std::vector<float> cos_sin;
    for (size_t i = 0; i < ids.size(); ++i) {
      for (int32_t r = 0; r < counts[i]; ++r) AppendAngles(first_position[i] + r, cos_sin);
    }
    const Batch batch = {first_row, first_position, table, kStride};
    const Buffer x(backend_, rows, heads_.columns(), qkv);
    const Buffer out(backend_, rows, int64_t{heads_.heads} * heads_.head_dim);
    const Step step(backend_, {.rows = static_cast<int32_t>(rows),
                               .max_columns = heads_.columns(),
                               .heads = heads_.heads,
                               .head_dim = heads_.head_dim,
                               .max_context = 2048});
    absl::Status status =
        backend_.RopeAppend(step.context(), {.qkv = x.matrix(),
                                             .heads = heads_.heads,
                                             .q_norm = norm,
                                             .k_norm = norm,
                                             .norm_epsilon = 1e-5f,
                                             .cos_sin = rotate ? cos_sin.data() : nullptr,
                                             .cache = cache_,
                                             .layer = kLayer,
                                             .batch = batch});
    EXPECT_TRUE(status.ok()) << status;
    status = backend_.Attention(step.context(), {.qkv = x.matrix(),
                                                 .heads = heads_.heads,
                                                 .scale = kScale,
                                                 .window = heads_.window,
                                                 .cache = cache_,
                                                 .layer = kLayer,
                                                 .batch = batch,
                                                 .out = out.matrix()});
    EXPECT_TRUE(status.ok()) << status;
    return out.values();
  }

  static constexpr float kScale = 0.3f;
  const float* norm = nullptr;  // [head_dim]
  bool rotate = true;

  // cos then sin of each pair at a position.
  void AppendAngles(int64_t position, std::vector<float>& out) const {
    for (const bool sine : {false, true}) {
      for (int32_t i = 0; i < heads_.head_dim / 2; ++i) {
        const double angle = position * std::pow(100.0, -2.0 * i / heads_.head_dim);
        out.push_back(static_cast<float>(sine ? std::sin(angle) : std::cos(angle)));
      }
    }
  }

  const KvCache& cache() const { return cache_; }
  const std::vector<int32_t>& blocks(int id) { return Sequence(id).blocks; }
  void set_blocks(int id, std::vector<int32_t> blocks) { Sequence(id).blocks = std::move(blocks); }

 private:
  struct State {
    int32_t length = 0;
    std::vector<int32_t> blocks;
  };
  State& Sequence(int id) {
    if (static_cast<size_t>(id) >= states_.size()) states_.resize(static_cast<size_t>(id) + 1);
    return states_[static_cast<size_t>(id)];
  }

  Backend& backend_;
  Heads heads_;
  KvCache cache_;
  std::unique_ptr<DeviceMemory> memory_;
  std::vector<int32_t> free_;
  std::vector<State> states_;
};

// One sequence from position 0, in double; keys and values rounded as the cache stores them.
std::vector<double> Reference(const Sequences& s, const Heads& h, KvFormat format,
                              const std::vector<float>& qkv, const float* norm) {
  const int64_t rows = static_cast<int64_t>(qkv.size()) / h.columns();
  const int64_t half = h.head_dim / 2;
  std::vector<double> x(qkv.begin(), qkv.end());
  const auto store = [&](double* head) {
    if (format == KvFormat::kInt8 || format == KvFormat::kInt4) {
      const auto codes =
          reference::QuantizeHead({head, head + h.head_dim}, format == KvFormat::kInt8 ? 255 : 15);
      const auto values = reference::DequantizeHead(codes);
      std::copy(values.begin(), values.end(), head);
      return;
    }
    for (double* v = head; v < head + h.head_dim; ++v) {
      const auto f = static_cast<float>(*v);
      *v = format == KvFormat::kBf16  ? core::Bf16ToF32(core::F32ToBf16(f))
           : format == KvFormat::kF16 ? core::F16ToF32(core::F32ToF16(f))
                                      : f;
    }
  };
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<float> angles;
    s.AppendAngles(r, angles);
    for (int64_t head = 0; head < h.heads + h.kv_heads; ++head) {
      double* p = x.data() + r * h.columns() + head * h.head_dim;
      if (norm != nullptr) {
        double squares = 0;
        for (int64_t i = 0; i < h.head_dim; ++i) squares += p[i] * p[i];
        const double root = std::sqrt(squares / h.head_dim + 1e-5);
        for (int64_t i = 0; i < h.head_dim; ++i) p[i] = p[i] / root * norm[i];
      }
      for (int64_t i = 0; i < half; ++i) {
        const double c = angles[i];
        const double n = angles[half + i];
        const double a = p[i];
        const double b = p[half + i];
        p[i] = a * c - b * n;
        p[half + i] = b * c + a * n;
      }
    }
    for (int64_t head = h.heads; head < h.heads + 2 * h.kv_heads; ++head) {
      store(x.data() + r * h.columns() + head * h.head_dim);
    }
  }
  std::vector<double> out;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t first = h.window > 0 ? std::max<int64_t>(0, r + 1 - h.window) : 0;
    for (int64_t head = 0; head < h.heads; ++head) {
      const double* q = x.data() + r * h.columns() + head * h.head_dim;
      const int64_t kv = head / (h.heads / h.kv_heads);
      std::vector<double> p;
      for (int64_t j = first; j <= r; ++j) {
        const double* k = x.data() + j * h.columns() + (h.heads + kv) * h.head_dim;
        p.push_back(std::inner_product(q, q + h.head_dim, k, 0.0) * Sequences::kScale);
      }
      const double most = *std::max_element(p.begin(), p.end());
      double total = 0;
      for (double& v : p) total += v = std::exp(v - most);
      for (int64_t d = 0; d < h.head_dim; ++d) {
        double sum = 0;
        for (int64_t j = first; j <= r; ++j) {
          sum += p[j - first] * x[j * h.columns() + (h.heads + h.kv_heads + kv) * h.head_dim + d];
        }
        out.push_back(sum / total);
      }
    }
  }
  return out;
}

class AttentionTest : public testing::TestWithParam<KernelSet> {};
INSTANTIATE_TEST_SUITE_P(EveryKernelSet, AttentionTest, testing::ValuesIn(KernelSets()), SetName);

constexpr KvFormat kFormats[] = {KvFormat::kF32, KvFormat::kBf16, KvFormat::kF16, KvFormat::kInt8,
                                 KvFormat::kInt4};

// Of the output. A key that rounds the other way in f32 than in double costs a step of its format;
// with vdpbf16ps queries and weights are in bf16 themselves.
double Tolerance(KvFormat format, const KernelSet& set) {
  switch (format) {
    case KvFormat::kF32:
      return 1e-5;
    case KvFormat::kBf16:
      return set.bf16 ? 5e-3 : 1e-3;
    default:
      return 1e-3;
  }
}

constexpr Heads kHeads[] = {{1, 1, 4},      {4, 2, 8},       {8, 2, 64},     {3, 1, 80},
                            {2, 2, 128},    {30, 1, 16},     {4, 2, 24, 20}, {8, 2, 64, 100},
                            {1, 1, 64, 64}, {14, 2, 64, 130}};

TEST_P(AttentionTest, PrefillAgreesWithDoubleReference) {
  const auto backend = MakeBackend(GetParam(), 2);
  for (const Heads& h : kHeads) {
    const auto norm = RandomValues(h.head_dim, 3);
    for (const int32_t rows : {1, 15, 64, 65, 200}) {
      const auto qkv = RandomValues(rows * h.columns(), 4);
      for (const KvFormat format : kFormats) {
        for (const float* weight : {static_cast<const float*>(nullptr), norm.data()}) {
          Sequences s(*backend, h, format, 16);
          s.norm = weight;
          const auto out = s.Run({0}, {rows}, qkv);
          const double error = RelativeError(out, Reference(s, h, format, qkv, weight));
          EXPECT_LT(error, Tolerance(format, GetParam()))
              << std::string(core::KvFormatName(format)) << " " << h.heads << "/" << h.kv_heads
              << "x" << h.head_dim << " window " << h.window << " rows " << rows;
        }
      }
    }
  }
}

TEST_P(AttentionTest, ChunksAndCompanyDoNotChangeBits) {
  constexpr int32_t kRows = 140;
  for (const Heads& h : {kHeads[0], kHeads[3], kHeads[6], kHeads[9]}) {
    const auto qkv = RandomValues(kRows * h.columns(), 5);
    const auto other = RandomValues(kRows * h.columns(), 6);
    const auto rows_of = [&](const std::vector<float>& all, int32_t first, int32_t count) {
      return std::vector<float>(all.begin() + first * h.columns(),
                                all.begin() + (first + count) * h.columns());
    };
    const int64_t width = int64_t{h.heads} * h.head_dim;
    for (const KvFormat format : kFormats) {
      const auto one = MakeBackend(GetParam(), 1);
      Sequences alone(*one, h, format, 16);
      const auto expected = alone.Run({0}, {kRows}, qkv);
      for (const int32_t chunk : {1, 7, 64}) {
        const auto backend = MakeBackend(GetParam(), chunk == 1 ? 1 : 3);
        Sequences s(*backend, h, format, chunk == 7 ? 32 : 16);
        for (int32_t first = 0; first < kRows; first += chunk) {
          const int32_t count = std::min(chunk, kRows - first);
          // The company runs ahead by a few rows, so that tiles of rows begin anywhere.
          auto rows = rows_of(other, 0, 3);
          const auto mine = rows_of(qkv, first, count);
          rows.insert(rows.end(), mine.begin(), mine.end());
          const auto out = s.Run({1, 0}, {3, count}, rows);
          ASSERT_TRUE(
              std::equal(out.begin() + 3 * width, out.end(), expected.begin() + first * width))
              << h.heads << "/" << h.kv_heads << "x" << h.head_dim << " window " << h.window
              << " chunk " << chunk << " first " << first;
        }
      }
    }
  }
}

TEST_P(AttentionTest, CopiedBlocksServeLikeTheirSources) {
  const auto backend = MakeBackend(GetParam(), 2);
  const Heads h = {4, 2, 32};
  const auto qkv = RandomValues(40 * h.columns(), 7);
  const std::vector<float> head(qkv.begin(), qkv.begin() + 39 * h.columns());
  const std::vector<float> tail(qkv.begin() + 39 * h.columns(), qkv.end());
  Sequences s(*backend, h, KvFormat::kBf16, 16);
  s.Run({0}, {39}, head);
  const std::vector<int32_t> from = s.blocks(0);
  std::vector<int32_t> to;
  for (int32_t block = 0; to.size() < from.size(); ++block) {
    if (std::find(from.begin(), from.end(), block) == from.end()) to.push_back(block);
  }
  Sequences fresh(*backend, h, KvFormat::kBf16, 16);
  const auto expected = fresh.Run({0}, {40}, qkv);
  ASSERT_TRUE(backend->CopyBlocks({}, {.cache = s.cache(), .from = from, .to = to}).ok());
  s.set_blocks(0, to);
  const auto out = s.Run({0}, {1}, tail);
  EXPECT_TRUE(std::equal(out.begin(), out.end(), expected.end() - out.size()));
}

// Several threads share out the chunks of keys of a row; one takes them one after the other.
TEST_P(AttentionTest, ThreadsDoNotChangeBitsOfLongContexts) {
  constexpr int32_t kRows = 1200;
  for (const Heads& h : {Heads{2, 1, 8}, Heads{3, 1, 20, 700}}) {
    const auto qkv = RandomValues(kRows * h.columns(), 8);
    for (const KvFormat format : kFormats) {
      std::vector<float> expected;
      for (const int threads : {1, 2, 3, 16}) {
        const auto backend = MakeBackend(GetParam(), threads);
        Sequences s(*backend, h, format, 32);
        std::vector<float> out;
        int32_t first = 0;
        for (const int32_t count : {1100, 1, 3, 96}) {
          const auto rows = s.Run(
              {0}, {count},
              {qkv.begin() + first * h.columns(), qkv.begin() + (first + count) * h.columns()});
          out.insert(out.end(), rows.begin(), rows.end());
          first += count;
        }
        if (threads == 1) {
          Sequences whole(*backend, h, format, 32);
          expected = whole.Run({0}, {kRows}, qkv);
        }
        ASSERT_TRUE(out == expected) << threads << " threads, window " << h.window << ", "
                                     << std::string(core::KvFormatName(format));
      }
    }
  }
}

// A broken value shows, and shows in no row that must not see it.
TEST_P(AttentionTest, NanReachesTheRowsThatSeeItOnly) {
  const auto backend = MakeBackend(GetParam(), 2);
  const Heads h = {2, 1, 16};
  constexpr int32_t kRows = 90;
  constexpr int32_t kBroken = 70;
  for (const KvFormat format : kFormats) {
    for (const int64_t column : {16, 40, 60}) {  // of the second query, the key, the value
      auto qkv = RandomValues(kRows * h.columns(), 10);
      qkv[kBroken * h.columns() + column] = std::nanf("");
      Sequences s(*backend, h, format, 16);
      const auto out = s.Run({0}, {kRows}, qkv);
      for (int32_t row = 0; row < kRows; ++row) {
        for (int64_t i = 0; i < 32; ++i) {
          const bool sees = column == 16 ? row == kBroken && i >= 16 : row >= kBroken;
          // Of a value that is not quantized one dimension is broken only.
          if (column == 60 && sees && !std::isnan(out[row * 32 + i])) {
            EXPECT_NE(i % 16, 60 - 48) << row;
            continue;
          }
          ASSERT_EQ(std::isnan(out[row * 32 + i]), sees)
              << std::string(core::KvFormatName(format)) << " column " << column << " row " << row;
        }
      }
    }
  }
}

// The bytes of a cache as kv_layout.h describes them, against elements that were encoded apart.
class CacheBytes {
 public:
  CacheBytes(const KvCache& cache, int64_t layer)
      : shape_(cache.shape),
        layout_(cache.shape),
        layer_(LayerBlocks(cache, layout_.block_bytes, layer)) {}

  // Element d of the key (or value) of a token of a block.
  uint32_t Element(bool key, int64_t block, int64_t head, int64_t token, int64_t d) const {
    const int64_t bits = BitsOf(shape_.format);
    const int64_t unit = shape_.format == KvFormat::kF16 ? 1 : 32 / bits;
    const int64_t lane_bytes = shape_.format == KvFormat::kF16 ? 2 : 4;
    const int64_t width = (shape_.head_dim + 15) / 16 * 16;
    const int64_t dims = (shape_.head_dim + unit - 1) / unit;
    const int64_t lane =
        key ? (token / 16 * dims + d / unit) * 16 + token % 16 : token / unit * width + d;
    const int64_t in_lane = (key ? d : token) % unit;
    const KvHead at = layout_.Head(layer_, head);
    uint32_t value = 0;
    std::memcpy(&value,
                layer_ + block * layout_.block_bytes + (key ? at.key_offset : at.value_offset) +
                    lane * lane_bytes,
                static_cast<size_t>(lane_bytes));
    // Even elements from bit 0 on, odd ones from bit 16 on.
    const int64_t shift = in_lane / 2 * bits + in_lane % 2 * 16;
    return bits == 32 ? value : value >> shift & ((1u << bits) - 1);
  }

  // Scale, then zero, as f16.
  uint16_t Parameter(bool key, bool zero, int64_t block, int64_t head, int64_t token) const {
    const KvHead at = layout_.Head(layer_, head);
    uint16_t value = 0;
    std::memcpy(&value,
                layer_ + block * layout_.block_bytes +
                    (key ? at.key_parameters : at.value_parameters) + token / 16 * 64 +
                    (zero ? 32 : 0) + token % 16 * 2,
                2);
    return value;
  }

 private:
  static int64_t BitsOf(KvFormat format) {
    return format == KvFormat::kF32    ? 32
           : format == KvFormat::kInt8 ? 8
           : format == KvFormat::kInt4 ? 4
                                       : 16;
  }

  KvShape shape_;
  KvLayout layout_;
  const unsigned char* layer_;
};

TEST_P(AttentionTest, AppendIsBitExact) {
  const auto backend = MakeBackend(GetParam(), 3);
  for (const Heads& h : {Heads{2, 2, 20}, Heads{2, 1, 64}, Heads{1, 1, 6}}) {
    constexpr int32_t kRows = 150;
    auto qkv = RandomValues(kRows * h.columns(), 9);
    // Rows of zeros, of tiny and of huge values, and heads that no scale serves.
    for (int64_t i = 0; i < h.columns(); ++i) {
      qkv[4 * h.columns() + i] = 0;
      qkv[5 * h.columns() + i] *= 1e-8f;
      qkv[6 * h.columns() + i] *= 1e5f;
      qkv[7 * h.columns() + i] *= 1e-40f;
      qkv[8 * h.columns() + i] *= 1e30f;
      qkv[9 * h.columns() + i] += 100;
    }
    qkv[10 * h.columns() - 1] = std::nanf("");
    qkv[(int64_t{h.heads} + 1) * h.head_dim - 1 + 11 * h.columns()] = INFINITY;
    for (const KvFormat format : kFormats) {
      Sequences s(*backend, h, format, 32);
      s.rotate = false;
      s.Run({0}, {70}, {qkv.begin(), qkv.begin() + 70 * h.columns()});
      s.Run({0}, {kRows - 70}, {qkv.begin() + 70 * h.columns(), qkv.end()});
      const CacheBytes bytes(s.cache(), Sequences::kLayer);
      for (int64_t row = 0; row < kRows; ++row) {
        for (int64_t head = 0; head < 2 * h.kv_heads; ++head) {
          const bool key = head < h.kv_heads;
          const float* in = qkv.data() + row * h.columns() + (h.heads + head) * h.head_dim;
          const int64_t block = s.blocks(0)[static_cast<size_t>(row / 32)];
          const int64_t kv_head = head % h.kv_heads;
          const bool quantized = format == KvFormat::kInt8 || format == KvFormat::kInt4;
          reference::QuantizedHead expected;
          if (quantized) {
            expected = reference::QuantizeHead({in, in + h.head_dim},
                                               format == KvFormat::kInt8 ? 255 : 15);
            for (const bool zero : {false, true}) {
              const double wanted = zero ? expected.zero : expected.scale;
              const uint16_t bits = bytes.Parameter(key, zero, block, kv_head, row % 32);
              if (std::isnan(wanted)) {
                ASSERT_GT(bits & 0x7FFF, 0x7C00) << "row " << row;
              } else {
                ASSERT_EQ(bits, reference::F16Bits(wanted)) << "row " << row << " zero " << zero;
              }
            }
          }
          // What fills up lanes and rows is zero.
          const int64_t unit = !key ? 16 : format == KvFormat::kInt4 ? 8 : quantized ? 4 : 1;
          const int64_t padded = (h.head_dim + unit - 1) / unit * unit;
          for (int64_t d = h.head_dim; d < padded; ++d) {
            ASSERT_EQ(bytes.Element(key, block, kv_head, row % 32, d), 0u);
          }
          for (int64_t d = 0; d < h.head_dim; ++d) {
            const uint32_t element = bytes.Element(key, block, kv_head, row % 32, d);
            uint32_t wanted;
            std::memcpy(&wanted, in + d, 4);
            if (quantized) wanted = static_cast<uint32_t>(expected.codes[static_cast<size_t>(d)]);
            if (format == KvFormat::kBf16) wanted = core::F32ToBf16(in[d]);
            if (format == KvFormat::kF16) wanted = core::F32ToF16(in[d]);
            if (!quantized && std::isnan(in[d])) continue;
            ASSERT_EQ(element, wanted) << std::string(core::KvFormatName(format)) << " row " << row
                                       << " head " << head << " d " << d << " value " << in[d];
          }
        }
      }
    }
  }
}

// The size that a memory plan shows: 8.25 and 4.25 bits a value with heads of 128.
TEST(KvLayoutTest, QuantizedBlocksHaveTheDocumentedSize) {
  const auto bits = [](KvFormat format, int32_t head_dim) {
    const KvLayout layout(KvShape{format, 1, 8, head_dim, 16});
    return static_cast<double>(layout.block_bytes) * 8 / (2.0 * 16 * 8 * head_dim);
  };
  EXPECT_EQ(bits(KvFormat::kInt8, 128), 8.25);
  EXPECT_EQ(bits(KvFormat::kInt4, 128), 4.25);
  EXPECT_EQ(bits(KvFormat::kInt8, 64), 8.5);
  EXPECT_EQ(bits(KvFormat::kInt4, 64), 4.5);
  EXPECT_EQ(bits(KvFormat::kBf16, 128), 16);
  EXPECT_EQ(bits(KvFormat::kF16, 128), 16);
  EXPECT_EQ(bits(KvFormat::kF32, 128), 32);
}

TEST(AttentionErrors, NoRowsAreNoWork) {
  const auto backend = MakeBackend({Isa::kBaseline, false, ""}, 1);
  core::AttentionParams attention;
  core::RopeAppendParams append;
  attention.cache.shape = append.cache.shape = {KvFormat::kF32, 1, 1, 8, 16};
  attention.heads = append.heads = 1;
  EXPECT_TRUE(backend->Attention({}, attention).ok());
  EXPECT_TRUE(backend->RopeAppend({}, append).ok());
}

}  // namespace
}  // namespace llmcore::cpu
