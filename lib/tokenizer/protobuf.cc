#include "lib/tokenizer/protobuf.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace llmcore::core {
namespace {

uint64_t LittleEndian(absl::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  }
  return value;
}

}  // namespace

float ProtobufField::AsFloat() const {
  const auto bits = static_cast<uint32_t>(value);
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

absl::StatusOr<uint64_t> ProtobufReader::ReadVarint() {
  uint64_t value = 0;
  for (size_t i = 0; i < rest_.size() && i < 10; ++i) {
    const auto byte = static_cast<uint8_t>(rest_[i]);
    value |= static_cast<uint64_t>(byte & 0x7F) << (7 * i);
    if (byte < 0x80) {
      rest_.remove_prefix(i + 1);
      return value;
    }
  }
  return absl::InvalidArgumentError("a number of the protocol buffer is cut off or too long");
}

absl::StatusOr<absl::string_view> ProtobufReader::ReadBytes(uint64_t count) {
  if (count > rest_.size()) {
    return absl::InvalidArgumentError(absl::StrCat("a field of the protocol buffer claims ", count,
                                                   " bytes where ", rest_.size(), " are left"));
  }
  const absl::string_view bytes = rest_.substr(0, static_cast<size_t>(count));
  rest_.remove_prefix(bytes.size());
  return bytes;
}

absl::StatusOr<std::optional<ProtobufField>> ProtobufReader::Next() {
  if (rest_.empty()) return std::optional<ProtobufField>();
  LLMCORE_ASSIGN_OR_RETURN(const uint64_t tag, ReadVarint());
  ProtobufField field{};
  if (tag >> 3 == 0 || tag >> 3 > UINT32_MAX) {
    return absl::InvalidArgumentError("the protocol buffer has a field with an invalid number");
  }
  field.number = static_cast<uint32_t>(tag >> 3);
  switch (tag & 7) {
    case ProtobufField::kVarint: {
      LLMCORE_ASSIGN_OR_RETURN(field.value, ReadVarint());
      break;
    }
    case ProtobufField::kBytes: {
      LLMCORE_ASSIGN_OR_RETURN(const uint64_t size, ReadVarint());
      LLMCORE_ASSIGN_OR_RETURN(field.bytes, ReadBytes(size));
      break;
    }
    case ProtobufField::kFixed32:
    case ProtobufField::kFixed64: {
      LLMCORE_ASSIGN_OR_RETURN(const auto bytes, ReadBytes((tag & 7) == 1 ? 8 : 4));
      field.value = LittleEndian(bytes);
      break;
    }
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("the protocol buffer has a field of the unknown kind ", tag & 7));
  }
  field.kind = static_cast<ProtobufField::Kind>(tag & 7);
  return std::optional<ProtobufField>(field);
}

}  // namespace llmcore::core
