// The safetensors format (Hugging Face, version 0.x): 8 bytes of little-endian header length N, N
// bytes of JSON, then the data of all tensors without a gap.
//
//   {"__metadata__": {"key": "text", ...},
//    "name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
//
// Offsets count from the end of the header. Nothing requires tensors to be aligned to their type.
#ifndef LLMCORE_LIB_IO_SAFETENSORS_H_
#define LLMCORE_LIB_IO_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "lib/base/file.h"
#include "lib/base/hash_map.h"
#include "lib/base/status.h"
#include "lib/tensor/dtype.h"

namespace llmcore::core {

// A larger header is refused before it is read. The limit of the reference implementation.
inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;

using TensorShape = absl::InlinedVector<int64_t, 4>;
std::string ShapeText(std::span<const int64_t> shape);  // "[2, 3]"

class SafetensorsFile;

// A tensor of an open file; valid as long as the file.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  TensorShape shape;                // empty for a scalar
  std::span<const std::byte> data;  // any alignment
  uint64_t offset = 0;              // of `data` in the file
  const SafetensorsFile* file = nullptr;

  uint64_t elements() const;  // 1 for a scalar
  // "FILE: tensor \"NAME\" (BF16 [2, 3] at byte 123)", to begin an error with.
  std::string Where() const;
};

// Thread-safe once open. Its address is fixed, since tensors point to it.
class SafetensorsFile {
 public:
  // Maps the file and validates all of it but the values: header length, JSON within limits, and
  // for each tensor its type, shape, and that its bytes are exactly those of the shape; together
  // they must fill the file without overlap, hole or rest. DATA_LOSS when the file is shorter than
  // its header says, INVALID_ARGUMENT for everything else, with file, tensor and byte offset.
  static absl::StatusOr<std::unique_ptr<const SafetensorsFile>> Open(const std::string& path);

  // The same over bytes that outlive the result; `path` is for errors.
  static absl::StatusOr<std::unique_ptr<const SafetensorsFile>> Parse(
      std::span<const std::byte> bytes, const std::string& path);

  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::string& path() const { return path_; }
  const std::vector<TensorView>& tensors() const { return tensors_; }  // by offset
  const TensorView* Find(absl::string_view name) const;                // NULL when there is none
  // __metadata__ in the order of the file.
  const std::vector<std::pair<std::string, std::string>>& metadata() const { return metadata_; }

  // Advice for the kernel on `length` bytes of a tensor from `begin` on: they will be read soon, or
  // not again. No more than advice: released bytes can still be read.
  void Prefetch(const TensorView& tensor, uint64_t begin, uint64_t length) const;
  void Release(const TensorView& tensor, uint64_t begin, uint64_t length) const;

 private:
  SafetensorsFile() = default;

  absl::Status Read(std::span<const std::byte> bytes);
  absl::Status CheckLayout(uint64_t data_begin, uint64_t file_size);

  MappedFile mapped_;
  std::string path_;
  std::vector<TensorView> tensors_;
  std::vector<std::pair<std::string, std::string>> metadata_;
  HashMap<absl::string_view, const TensorView*> by_name_;
};

// Writes one file: the tensors are named first, then their data is appended in that order, in
// pieces of any size. The file appears under its name on Commit.
class SafetensorsWriter {
 public:
  struct Tensor {
    std::string name;
    DType dtype = DType::kF32;
    TensorShape shape;
  };

  // Writes the header, padded with spaces so that the data begins at a multiple of `alignment`, a
  // multiple of 8. Names must differ.
  static absl::StatusOr<SafetensorsWriter> Create(
      const std::string& path, const std::vector<Tensor>& tensors,
      const std::vector<std::pair<std::string, std::string>>& metadata, uint64_t alignment = 8);

  // Reaches the file in aligned pieces of 4 MB, which Linux keeps on huge pages of the page cache
  // where the file system can: a mapping of such a file is as fast as memory of huge pages.
  absl::Status Append(std::span<const std::byte> bytes);
  // An error unless exactly the bytes of all tensors were appended.
  absl::Status Commit();

 private:
  explicit SafetensorsWriter(AtomicFileWriter file) : file_(std::move(file)) {}

  absl::Status Flush();

  AtomicFileWriter file_;
  uint64_t expected_size_ = 0;      // of the whole file
  std::vector<std::byte> pending_;  // what comes after what the file has, less than a piece
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_IO_SAFETENSORS_H_
