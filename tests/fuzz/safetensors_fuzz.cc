// A whole safetensors file. What is accepted must be safe to use: views inside the file, of the
// size that their shapes say, and together the whole of the data.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "lib/io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace llmcore::core;
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  const auto file = SafetensorsFile::Parse(bytes, "fuzz");
  if (!file.ok()) {
    if (file.status().message().empty()) std::abort();
    return 0;
  }
  uint64_t end = 0;
  for (const TensorView& tensor : (*file)->tensors()) {
    if (tensor.offset > size || tensor.data.size() > size - tensor.offset) std::abort();
    if (tensor.data.data() != bytes.data() + tensor.offset) std::abort();
    if (end != 0 && tensor.offset != end) std::abort();
    end = tensor.offset + tensor.data.size();
    if (tensor.elements() * static_cast<uint64_t>(DTypeBits(tensor.dtype)) !=
        uint64_t{tensor.data.size()} * 8) {
      std::abort();
    }
    if ((*file)->Find(tensor.name) != &tensor || tensor.Where().empty()) std::abort();
  }
  if (end != 0 && end != size) std::abort();
  return 0;
}
