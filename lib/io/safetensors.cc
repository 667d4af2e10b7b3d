#include "lib/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/checked.h"
#include "lib/base/json.h"
#include "lib/base/quote.h"

namespace llmcore::core {
namespace {

constexpr uint64_t kLengthBytes = 8;

// Depth: the root, a tensor, its shape. Values: a tensor has about ten, so this is far above any
// checkpoint, and their memory stays within three times the largest header.
constexpr JsonLimits kHeaderLimits = {
    .max_bytes = kMaxSafetensorsHeader, .max_depth = 3, .max_values = size_t{4} << 20};

static_assert(std::endian::native == std::endian::little,
              "tensors are used in place, in the little-endian order of the file");

// An element of "shape" or "data_offsets".
absl::StatusOr<uint64_t> ParseSize(const JsonValue& value, absl::string_view key) {
  if (value.if_int() != nullptr && *value.if_int() >= 0) {
    return static_cast<uint64_t>(*value.if_int());
  }
  if (value.if_int() != nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(key), " holds the negative number ", *value.if_int()));
  }
  // Integers beyond int64 arrive as doubles.
  if (value.if_double() != nullptr && *value.if_double() >= 9.2e18) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(key), " holds ", *value.if_double(), ", more than any file can have"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(Quoted(key), " must hold sizes, holds ", value.kind_name()));
}

absl::StatusOr<uint64_t> BitsOf(std::span<const int64_t> shape, DType dtype) {
  std::optional<uint64_t> bits = static_cast<uint64_t>(DTypeBits(dtype));
  for (const int64_t dimension : shape) {
    if (bits.has_value()) bits = CheckedMultiply(*bits, static_cast<uint64_t>(dimension));
  }
  if (!bits.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the size of shape ", ShapeText(shape), " overflows"));
  }
  if (*bits % 8 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(DTypeName(dtype), " ", ShapeText(shape), " does not end at a byte"));
  }
  return *bits;
}

// One entry of the header. Sets all but `data`; `offset` and the result (the end) still count from
// the end of the header.
absl::StatusOr<uint64_t> ParseTensor(const JsonObject& info, TensorView* tensor) {
  for (const auto& [key, value] : info.members()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      return absl::InvalidArgumentError(absl::StrCat("unknown key ", Quoted(key)));
    }
  }
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view dtype_name, info.GetString("dtype"));
  const std::optional<DType> dtype = ParseDType(dtype_name);
  if (!dtype.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("unknown dtype ", Quoted(dtype_name)));
  }
  tensor->dtype = *dtype;

  LLMCORE_ASSIGN_OR_RETURN(const JsonValue::Array* shape, info.GetArray("shape"));
  for (const JsonValue& value : *shape) {
    LLMCORE_ASSIGN_OR_RETURN(const uint64_t dimension, ParseSize(value, "shape"));
    tensor->shape.push_back(static_cast<int64_t>(dimension));
  }

  LLMCORE_ASSIGN_OR_RETURN(const JsonValue::Array* offsets, info.GetArray("data_offsets"));
  if (offsets->size() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"data_offsets\" must hold 2 numbers, holds ", offsets->size()));
  }
  LLMCORE_ASSIGN_OR_RETURN(const uint64_t begin, ParseSize((*offsets)[0], "data_offsets"));
  LLMCORE_ASSIGN_OR_RETURN(const uint64_t end, ParseSize((*offsets)[1], "data_offsets"));
  if (begin > end) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"data_offsets\" [", begin, ", ", end, "] end before they begin"));
  }
  LLMCORE_ASSIGN_OR_RETURN(const uint64_t bits, BitsOf(tensor->shape, *dtype));
  if (bits / 8 != end - begin) {
    return absl::InvalidArgumentError(
        absl::StrCat(dtype_name, " ", ShapeText(tensor->shape), " takes ", bits / 8,
                     " bytes, \"data_offsets\" [", begin, ", ", end, "] span ", end - begin));
  }
  tensor->offset = begin;
  return end;
}

absl::Status ParseMetadata(const JsonValue& value,
                           std::vector<std::pair<std::string, std::string>>* metadata) {
  LLMCORE_ASSIGN_OR_RETURN(const JsonObject* object, value.AsObject());
  for (const auto& [key, text] : object->members()) {
    if (text.if_string() == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("values must be strings, ", Quoted(key), " is ", text.kind_name()));
    }
    metadata->emplace_back(key, *text.if_string());
  }
  return absl::OkStatus();
}

// The length of the header, checked against the file. What is commonly found in place of a
// checkpoint gets an error of its own.
absl::StatusOr<uint64_t> ParseHeaderLength(std::span<const std::byte> bytes) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (bytes.empty()) return absl::DataLossError("the file is empty");
  if (absl::StartsWith(text, "version https://git-lfs")) {
    return absl::DataLossError(
        "this is a Git LFS pointer, not the file itself; run `git lfs pull` in the model "
        "directory");
  }
  if (bytes.size() < kLengthBytes) {
    return absl::DataLossError(absl::StrCat("the file has ", bytes.size(),
                                            " bytes, too few for the header length of 8 bytes"));
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  if (length > kMaxSafetensorsHeader) {
    return absl::InvalidArgumentError(
        absl::StrCat("the header length at byte 0 is ", length, ", more than the limit of ",
                     kMaxSafetensorsHeader, "; this is no safetensors file"));
  }
  if (length > bytes.size() - kLengthBytes) {
    return absl::DataLossError(absl::StrCat("the file is truncated: its header ends at byte ",
                                            length + kLengthBytes, ", the file at byte ",
                                            bytes.size()));
  }
  return length;
}

}  // namespace

std::string ShapeText(std::span<const int64_t> shape) {
  // A shape of an untrusted header may have millions of dimensions.
  constexpr size_t kShown = 8;
  const auto shown = shape.first(std::min(shape.size(), kShown));
  return absl::StrCat("[", absl::StrJoin(shown, ", "), shape.size() > kShown ? ", ...]" : "]");
}

uint64_t TensorView::elements() const {
  uint64_t count = 1;
  for (const int64_t dimension : shape) count *= static_cast<uint64_t>(dimension);
  return count;
}

std::string TensorView::Where() const {
  return absl::StrCat(file == nullptr ? "" : absl::StrCat(file->path(), ": "), "tensor ",
                      Quoted(name), " (", DTypeName(dtype), " ", ShapeText(shape), " at byte ",
                      offset, ")");
}

absl::StatusOr<std::unique_ptr<const SafetensorsFile>> SafetensorsFile::Open(
    const std::string& path) {
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile());
  file->path_ = path;
  LLMCORE_ASSIGN_OR_RETURN(file->mapped_, MappedFile::Open(path));
  const absl::Status status = file->Read(file->mapped_.bytes());
  if (!status.ok()) return Annotate(status, path);
  return file;
}

absl::StatusOr<std::unique_ptr<const SafetensorsFile>> SafetensorsFile::Parse(
    std::span<const std::byte> bytes, const std::string& path) {
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile());
  file->path_ = path;
  const absl::Status status = file->Read(bytes);
  if (!status.ok()) return Annotate(status, path);
  return file;
}

absl::Status SafetensorsFile::Read(std::span<const std::byte> bytes) {
  LLMCORE_ASSIGN_OR_RETURN(const uint64_t length, ParseHeaderLength(bytes));
  const absl::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes,
                               static_cast<size_t>(length));
  const absl::StatusOr<JsonDocument> json = ParseJson(text, kHeaderLimits);
  if (!json.ok()) return Annotate(json.status(), "header at byte 8");
  const JsonObject* const header = json->if_object();
  if (header == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("header at byte 8: must be an object, is ", json->kind_name()));
  }

  const uint64_t data_begin = kLengthBytes + length;
  tensors_.reserve(header->size());
  for (const auto& [name, value] : header->members()) {
    if (name == "__metadata__") {
      const absl::Status status = ParseMetadata(value, &metadata_);
      if (!status.ok()) return Annotate(status, "header at byte 8: \"__metadata__\"");
      continue;
    }
    const std::string context = absl::StrCat("tensor ", Quoted(name));
    if (value.if_object() == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(context, ": must be an object, is ", value.kind_name()));
    }
    TensorView tensor;
    const absl::StatusOr<uint64_t> end = ParseTensor(*value.if_object(), &tensor);
    if (!end.ok()) return Annotate(end.status(), context);
    if (*end > bytes.size() - data_begin) {
      return absl::DataLossError(absl::StrCat(
          context, ": the file is truncated: the tensor's data ends at byte ",
          CheckedAdd(data_begin, *end).value_or(UINT64_MAX), ", the file at byte ", bytes.size()));
    }
    tensor.data = bytes.subspan(data_begin + tensor.offset, *end - tensor.offset);
    tensor.offset += data_begin;
    tensor.name = std::string(name);
    tensor.file = this;
    tensors_.push_back(std::move(tensor));
  }
  return CheckLayout(data_begin, bytes.size());
}

absl::Status SafetensorsFile::CheckLayout(uint64_t data_begin, uint64_t file_size) {
  // Empty tensors come before the one that begins where they are.
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorView& a, const TensorView& b) {
    if (a.offset != b.offset) return a.offset < b.offset;
    if (a.data.size() != b.data.size()) return a.data.size() < b.data.size();
    return a.name < b.name;
  });
  uint64_t end = data_begin;
  for (const TensorView& tensor : tensors_) {
    if (tensor.offset != end) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor ", Quoted(tensor.name), ": its data begins at byte ", tensor.offset,
          tensor.offset < end ? ", inside that of another tensor, which ends at byte "
                              : " and leaves a hole, since the data before it ends at byte ",
          end));
    }
    end += tensor.data.size();
  }
  if (end != file_size) {
    return absl::InvalidArgumentError(absl::StrCat("the data of the last tensor ends at byte ", end,
                                                   ", but the file goes on to byte ", file_size));
  }
  by_name_.reserve(tensors_.size());
  for (const TensorView& tensor : tensors_) by_name_.emplace(tensor.name, &tensor);
  return absl::OkStatus();
}

const TensorView* SafetensorsFile::Find(absl::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

void SafetensorsFile::Prefetch(const TensorView& tensor, uint64_t begin, uint64_t length) const {
  const uint64_t size = tensor.data.size();
  if (begin < size) mapped_.WillNeed(tensor.offset + begin, std::min(length, size - begin));
}

void SafetensorsFile::Release(const TensorView& tensor, uint64_t begin, uint64_t length) const {
  const uint64_t size = tensor.data.size();
  if (begin < size) mapped_.Release(tensor.offset + begin, std::min(length, size - begin));
}

}  // namespace llmcore::core
