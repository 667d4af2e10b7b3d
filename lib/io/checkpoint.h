// The weights of a model directory as Hugging Face publishes them: model.safetensors, or shards
// named by model.safetensors.index.json, or the one *.safetensors file that is there.
#ifndef LLMCORE_LIB_IO_CHECKPOINT_H_
#define LLMCORE_LIB_IO_CHECKPOINT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/hash_map.h"
#include "lib/base/status.h"
#include "lib/io/safetensors.h"

namespace llmcore::core {

// Thread-safe. Views live as long as the checkpoint, which may be moved.
class Checkpoint {
 public:
  // Maps all files and validates them in full (safetensors.h), and an index against its shards:
  // names stay inside the folder, every tensor is in the shard that the index names, and a shard
  // has no other tensor (but buffers that model code derives, which are left out). Where there is
  // no checkpoint the error says what was found instead and what to do.
  static absl::StatusOr<Checkpoint> Open(const std::string& directory);

  const TensorView* Find(absl::string_view name) const;  // NULL when there is none
  // NOT_FOUND with the name and the directory.
  absl::StatusOr<const TensorView*> Get(absl::string_view name) const;

  // All of them, file by file in the order of their data.
  const std::vector<const TensorView*>& tensors() const { return tensors_; }
  const std::vector<std::unique_ptr<const SafetensorsFile>>& files() const { return files_; }
  const std::string& directory() const { return directory_; }
  uint64_t total_bytes() const { return total_bytes_; }  // of all tensors

  // Advice on `length` bytes of a tensor from `begin` on: SafetensorsFile.
  static void Prefetch(const TensorView& tensor, uint64_t begin, uint64_t length) {
    tensor.file->Prefetch(tensor, begin, length);
  }
  static void Release(const TensorView& tensor, uint64_t begin, uint64_t length) {
    tensor.file->Release(tensor, begin, length);
  }

 private:
  Checkpoint() = default;

  absl::Status OpenSingle(const std::string& name);
  absl::Status OpenSharded(const std::string& index_path);
  void Add(const TensorView& tensor);

  std::string directory_;
  std::vector<std::unique_ptr<const SafetensorsFile>> files_;
  std::vector<const TensorView*> tensors_;
  HashMap<absl::string_view, const TensorView*> by_name_;
  uint64_t total_bytes_ = 0;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_IO_CHECKPOINT_H_
