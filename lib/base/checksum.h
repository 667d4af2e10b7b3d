// XXH3-128 of a stream of bytes: finds damage, not forgery.
#ifndef LLMCORE_LIB_BASE_CHECKSUM_H_
#define LLMCORE_LIB_BASE_CHECKSUM_H_

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "absl/strings/string_view.h"

namespace llmcore::core {

class Checksum {
 public:
  using Digest = std::array<std::byte, 16>;  // canonical, big-endian

  Checksum();
  ~Checksum();
  void Add(std::span<const std::byte> bytes);
  void Add(absl::string_view text) { Add(std::as_bytes(std::span(text.data(), text.size()))); }
  Digest Finish() const;    // of all that was added so far
  std::string Hex() const;  // the same as 32 hexadecimal digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_CHECKSUM_H_
