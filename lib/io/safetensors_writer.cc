#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/checked.h"
#include "lib/base/hash_map.h"
#include "lib/base/json.h"
#include "lib/base/quote.h"
#include "lib/io/safetensors.h"

namespace llmcore::core {
namespace {

constexpr size_t kPieceBytes = size_t{4} << 20;  // two huge pages

absl::StatusOr<uint64_t> BytesOf(const SafetensorsWriter::Tensor& tensor) {
  std::optional<uint64_t> bits = static_cast<uint64_t>(DTypeBits(tensor.dtype));
  for (const int64_t dimension : tensor.shape) {
    if (dimension < 0 || !bits.has_value()) return absl::InvalidArgumentError("bad shape");
    bits = CheckedMultiply(*bits, static_cast<uint64_t>(dimension));
  }
  if (!bits.has_value() || *bits % 8 != 0) return absl::InvalidArgumentError("bad shape");
  return *bits / 8;
}

void AppendMetadata(const std::vector<std::pair<std::string, std::string>>& metadata,
                    std::string* header) {
  absl::StrAppend(header, "\"__metadata__\":{");
  for (size_t i = 0; i < metadata.size(); ++i) {
    if (i > 0) header->push_back(',');
    AppendJsonString(metadata[i].first, header);
    header->push_back(':');
    AppendJsonString(metadata[i].second, header);
  }
  header->push_back('}');
}

}  // namespace

absl::StatusOr<SafetensorsWriter> SafetensorsWriter::Create(
    const std::string& path, const std::vector<Tensor>& tensors,
    const std::vector<std::pair<std::string, std::string>>& metadata, uint64_t alignment) {
  std::string header = "{";
  if (!metadata.empty()) AppendMetadata(metadata, &header);
  HashSet<absl::string_view> names;
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors) {
    if (tensor.name == "__metadata__" || !names.insert(tensor.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": tensor ", Quoted(tensor.name), " cannot be written twice"));
    }
    const absl::StatusOr<uint64_t> bytes = BytesOf(tensor);
    const std::optional<uint64_t> end =
        bytes.ok() ? CheckedAdd(offset, *bytes) : std::optional<uint64_t>();
    if (!end.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": tensor ", Quoted(tensor.name), " has no valid size: ", ShapeText(tensor.shape)));
    }
    if (header.size() > 1) header.push_back(',');
    AppendJsonString(tensor.name, &header);
    absl::StrAppend(&header, ":{\"dtype\":\"", DTypeName(tensor.dtype), "\",\"shape\":[",
                    absl::StrJoin(tensor.shape, ","), "],\"data_offsets\":[", offset, ",", *end,
                    "]}");
    offset = *end;
  }
  header.push_back('}');
  constexpr uint64_t kLengthBytes = sizeof(uint64_t);
  header.resize(RoundUp(header.size() + kLengthBytes, alignment) - kLengthBytes, ' ');
  if (header.size() > kMaxSafetensorsHeader) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": a header of ", header.size(),
                                                   " bytes is above the limit of ",
                                                   kMaxSafetensorsHeader));
  }

  LLMCORE_ASSIGN_OR_RETURN(AtomicFileWriter file, AtomicFileWriter::Create(path));
  SafetensorsWriter writer(std::move(file));
  const uint64_t length = header.size();
  writer.expected_size_ = sizeof(length) + header.size() + offset;
  LLMCORE_RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(&length, 1))));
  LLMCORE_RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(header.data(), header.size()))));
  return writer;
}

absl::Status SafetensorsWriter::Append(std::span<const std::byte> bytes) {
  if (bytes.size() > expected_size_ - file_.size() - pending_.size()) {
    return absl::InternalError("more tensor data than the header has room for");
  }
  while (!bytes.empty()) {
    const size_t room = kPieceBytes - pending_.size();
    if (pending_.empty() && bytes.size() >= kPieceBytes) {
      const size_t whole = bytes.size() / kPieceBytes * kPieceBytes;
      LLMCORE_RETURN_IF_ERROR(file_.Append(bytes.first(whole)));
      bytes = bytes.subspan(whole);
      continue;
    }
    const auto piece = bytes.first(std::min(room, bytes.size()));
    pending_.insert(pending_.end(), piece.begin(), piece.end());
    bytes = bytes.subspan(piece.size());
    if (pending_.size() == kPieceBytes) LLMCORE_RETURN_IF_ERROR(Flush());
  }
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::Flush() {
  LLMCORE_RETURN_IF_ERROR(file_.Append(pending_));
  pending_.clear();
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::Commit() {
  LLMCORE_RETURN_IF_ERROR(Flush());
  if (file_.size() != expected_size_) {
    return absl::InternalError(absl::StrCat("tensor data ends at byte ", file_.size(),
                                            " of the promised ", expected_size_));
  }
  return file_.Commit();
}

}  // namespace llmcore::core
