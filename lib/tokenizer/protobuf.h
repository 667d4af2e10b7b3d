// Reads the wire format of protocol buffers, field by field. Input is untrusted.
#ifndef LLMCORE_LIB_TOKENIZER_PROTOBUF_H_
#define LLMCORE_LIB_TOKENIZER_PROTOBUF_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace llmcore::core {

struct ProtobufField {
  enum Kind { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  uint32_t number;
  Kind kind;
  uint64_t value;           // of the scalar kinds; floats and doubles are their bits
  absl::string_view bytes;  // of kBytes: a string or a message, borrowed

  float AsFloat() const;  // of kFixed32
};

class ProtobufReader {
 public:
  explicit ProtobufReader(absl::string_view message) : rest_(message) {}

  // The next field; nullopt at the end. INVALID_ARGUMENT for what is cut off or malformed.
  absl::StatusOr<std::optional<ProtobufField>> Next();

 private:
  absl::StatusOr<uint64_t> ReadVarint();
  absl::StatusOr<absl::string_view> ReadBytes(uint64_t count);

  absl::string_view rest_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_PROTOBUF_H_
