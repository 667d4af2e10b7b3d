#include "lib/io/zero_point_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/checked.h"
#include "lib/tensor/float16.h"
#include "lib/tensor/int4.h"

namespace llmcore::core {
namespace {

using Method = StoredQuantization::Method;

constexpr absl::string_view kCodes = ZeroPointMatrix::kSuffixes[0];
constexpr absl::string_view kZeros = ZeroPointMatrix::kSuffixes[1];
constexpr absl::string_view kScales = ZeroPointMatrix::kSuffixes[2];
constexpr absl::string_view kGroupIndex = ZeroPointMatrix::kSuffixes[3];

constexpr int64_t kInWord = 8;
constexpr int64_t kTileColumns = kQuantBlock;
constexpr int64_t kTileRowBytes = kTileColumns / 2;

// Which of eight outputs the codes of a word belong to, from the lowest bits on.
constexpr int kAwqOrder[kInWord] = {0, 2, 4, 6, 1, 3, 5, 7};
constexpr int kPlainOrder[kInWord] = {0, 1, 2, 3, 4, 5, 6, 7};

uint32_t LoadWord(const TensorView& tensor, int64_t index) {
  uint32_t word;
  std::memcpy(&word, tensor.data.data() + index * int64_t{sizeof word}, sizeof word);
  return word;
}

// Eight codes of a row from a word, the first one lowest, to four bytes, the earlier of two high.
void StoreCodes(uint32_t word, unsigned char* out) {
  constexpr uint32_t kLow = 0x0F0F0F0F;
  const uint32_t swapped = (word & kLow) << 4 | (word >> 4 & kLow);
  std::memcpy(out, &swapped, sizeof swapped);
}

// Code i of word k becomes code k of word i: halves, quarters and eighths of words change places.
void TransposeCodes(uint32_t* words) {
  constexpr uint32_t kLow[] = {0x0F0F0F0F, 0x00FF00FF, 0x0000FFFF};
  for (int stage = 2; stage >= 0; --stage) {
    const int apart = 1 << stage;
    const int shift = 4 * apart;
    for (int i = 0; i < kInWord; ++i) {
      if ((i & apart) != 0) continue;
      const uint32_t change = (words[i] >> shift ^ words[i + apart]) & kLow[stage];
      words[i] ^= change << shift;
      words[i + apart] ^= change;
    }
  }
}

float LoadScale(const TensorView& tensor, int64_t index) {
  if (tensor.dtype == DType::kF32) {
    float value;
    std::memcpy(&value, tensor.data.data() + index * int64_t{sizeof value}, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, tensor.data.data() + index * int64_t{sizeof bits}, sizeof bits);
  return tensor.dtype == DType::kBf16 ? Bf16ToF32(bits) : F16ToF32(bits);
}

absl::StatusOr<const TensorView*> Get(const Checkpoint& checkpoint, absl::string_view module,
                                      absl::string_view suffix, const TensorShape& shape) {
  LLMCORE_ASSIGN_OR_RETURN(const TensorView* const tensor,
                           checkpoint.Get(absl::StrCat(module, suffix)));
  const bool fits = suffix == kScales ? IsWeightDType(tensor->dtype) : tensor->dtype == DType::kI32;
  if (!fits) {
    return absl::InvalidArgumentError(absl::StrCat(tensor->Where(), ": must be ",
                                                   suffix == kScales ? "F16, BF16 or F32" : "I32"));
  }
  if (tensor->shape != shape) {
    return absl::InvalidArgumentError(
        absl::StrCat(tensor->Where(), ": the configuration asks for the shape ", ShapeText(shape)));
  }
  return tensor;
}

}  // namespace

bool ZeroPointMatrix::IsIn(const Checkpoint& checkpoint, absl::string_view module) {
  return checkpoint.Find(absl::StrCat(module, kCodes)) != nullptr;
}

bool ZeroPointMatrix::ConsumeSuffix(absl::string_view* name) {
  return std::any_of(std::begin(kSuffixes), std::end(kSuffixes), [name](absl::string_view suffix) {
    return absl::ConsumeSuffix(name, suffix);
  });
}

absl::StatusOr<ZeroPointMatrix> ZeroPointMatrix::Open(const Checkpoint& checkpoint,
                                                      absl::string_view module,
                                                      const StoredQuantization& stored,
                                                      int64_t rows, int64_t columns) {
  ZeroPointMatrix matrix;
  matrix.method_ = stored.method;
  matrix.zero_offset_ = stored.zero_offset;
  matrix.rows_ = rows;
  matrix.columns_ = columns;
  matrix.group_ = stored.group_size > 0 ? stored.group_size : std::max<int64_t>(columns, 1);
  const bool awq = stored.method == Method::kAwq;
  if (rows % kInWord != 0 || (!awq && columns % kInWord != 0)) {
    return absl::UnimplementedError(absl::StrCat("\"", module, "\" is [", rows, ", ", columns,
                                                 "]: words of eight do not hold its codes"));
  }
  const int64_t groups = (columns + matrix.group_ - 1) / matrix.group_;
  LLMCORE_ASSIGN_OR_RETURN(matrix.codes_, Get(checkpoint, module, kCodes,
                                              awq ? TensorShape{columns, rows / kInWord}
                                                  : TensorShape{columns / kInWord, rows}));
  LLMCORE_ASSIGN_OR_RETURN(matrix.zeros_,
                           Get(checkpoint, module, kZeros, {groups, rows / kInWord}));
  LLMCORE_ASSIGN_OR_RETURN(matrix.scales_, Get(checkpoint, module, kScales, {groups, rows}));
  if (!awq &&
      (stored.needs_g_idx || checkpoint.Find(absl::StrCat(module, kGroupIndex)) != nullptr)) {
    LLMCORE_ASSIGN_OR_RETURN(const TensorView* const index,
                             Get(checkpoint, module, kGroupIndex, {columns}));
    LLMCORE_RETURN_IF_ERROR(matrix.CheckGroupIndex(*index));
  }
  return matrix;
}

absl::Status ZeroPointMatrix::CheckGroupIndex(const TensorView& tensor) const {
  const int64_t groups = (columns_ + group_ - 1) / group_;
  for (int64_t column = 0; column < columns_; ++column) {
    const auto group = static_cast<int32_t>(LoadWord(tensor, column));
    if (group == column / group_) continue;
    const std::string what = absl::StrCat(tensor.Where(), ": element ", column, " is ", group);
    if (group < 0 || group >= groups) {
      return absl::InvalidArgumentError(absl::StrCat(what, ", but there are ", groups, " groups"));
    }
    return absl::UnimplementedError(absl::StrCat(
        what, " and not ", column / group_,
        ": groups of inputs that do not follow each other (\"desc_act\") are not supported"));
  }
  return absl::OkStatus();
}

absl::Status ZeroPointMatrix::ReadRows(int64_t first, int64_t count, std::byte* codes,
                                       std::byte* scales, std::byte* zeros) const {
  if (first % kInWord != 0 || count % kInWord != 0 || first < 0 || count > rows_ - first) {
    return absl::InternalError("rows that are not whole words");
  }
  const auto width = static_cast<uint64_t>(columns_);
  const uint64_t row_bytes = Int4PackedBytes(width);
  const uint64_t blocks = Int4ScaleCount(width);
  unsigned char tile[kTileRows * kTileRowBytes];
  uint16_t tile_scales[kTileRows];
  uint8_t tile_zeros[kTileRows];
  for (int64_t begin = 0; begin < count; begin += kTileRows) {
    const int64_t rows = std::min(kTileRows, count - begin);
    int64_t group = -1;
    for (uint64_t block = 0; block < blocks; ++block) {
      const int64_t column = static_cast<int64_t>(block) * kTileColumns;
      const uint64_t bytes = std::min<uint64_t>(kTileRowBytes, row_bytes - block * kTileRowBytes);
      ReadTile(first + begin, rows, column, tile);
      if (column / group_ != group) {
        group = column / group_;
        LLMCORE_RETURN_IF_ERROR(ReadGroup(first + begin, rows, group, tile_scales, tile_zeros));
      }
      for (int64_t row = 0; row < rows; ++row) {
        const auto out = static_cast<uint64_t>(begin + row);
        std::memcpy(codes + out * row_bytes + block * kTileRowBytes, tile + row * kTileRowBytes,
                    bytes);
        std::memcpy(scales + (out * blocks + block) * 2, tile_scales + row, 2);
        zeros[out * blocks + block] = std::byte{tile_zeros[row]};
      }
    }
  }
  return absl::OkStatus();
}

// Codes of `count` rows, at most kTileRows, and of a block of columns, two in a byte with the
// earlier one high; zeros beyond the last column.
void ZeroPointMatrix::ReadTile(int64_t first, int64_t count, int64_t column,
                               unsigned char* tile) const {
  const int64_t columns = std::min(kTileColumns, columns_ - column);
  if (method_ == Method::kGptq) {
    for (int64_t k = 0; k < columns; k += kInWord) {
      const int64_t begin = (column + k) / kInWord * rows_ + first;
      for (int64_t row = 0; row < count; ++row) {
        StoreCodes(LoadWord(*codes_, begin + row), tile + row * kTileRowBytes + k / 2);
      }
    }
    return;
  }
  const int64_t stride = rows_ / kInWord;
  for (int64_t k = 0; k < columns; k += kInWord) {
    const int64_t begin = (column + k) * stride + first / kInWord;
    const int64_t words = std::min(kInWord, columns - k);
    for (int64_t word = 0; word < count / kInWord; ++word) {
      uint32_t codes[kInWord] = {};
      for (int64_t i = 0; i < words; ++i) codes[i] = LoadWord(*codes_, begin + i * stride + word);
      TransposeCodes(codes);
      unsigned char* const out = tile + word * kInWord * kTileRowBytes + k / 2;
      for (int i = 0; i < kInWord; ++i) StoreCodes(codes[i], out + kAwqOrder[i] * kTileRowBytes);
    }
  }
}

absl::Status ZeroPointMatrix::ReadGroup(int64_t first, int64_t count, int64_t group,
                                        uint16_t* scales, uint8_t* zeros) const {
  for (int64_t row = 0; row < count; ++row) {
    const float scale = LoadScale(*scales_, group * rows_ + first + row);
    scales[row] = F32ToF16(scale);
    const bool finite = std::isfinite(scale);
    if (!finite || F16ToF32(scales[row]) != scale) {
      return absl::InvalidArgumentError(
          absl::StrCat(scales_->Where(), ": the scale of group ", group, ", output ", first + row,
                       finite ? " is no value of f16" : " is NaN or infinite"));
    }
  }
  const int* const order = method_ == Method::kAwq ? kAwqOrder : kPlainOrder;
  for (int64_t word = 0; word < count / kInWord; ++word) {
    const uint32_t packed = LoadWord(*zeros_, (group * rows_ + first) / kInWord + word);
    for (int i = 0; i < kInWord; ++i) {
      zeros[word * kInWord + order[i]] =
          static_cast<uint8_t>((packed >> (4 * i) & 15) + static_cast<uint32_t>(zero_offset_));
    }
  }
  return absl::OkStatus();
}

}  // namespace llmcore::core
