#include "lib/io/checkpoint.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/quote.h"

namespace llmcore::core {
namespace {

constexpr absl::string_view kSingle = "model.safetensors";
constexpr absl::string_view kIndex = "model.safetensors.index.json";
constexpr absl::string_view kSuffix = ".safetensors";

constexpr size_t kMostShards = 4096;  // each is a mapping; the largest published models have 200

// Values that model code derives and older checkpoints carry along.
bool IsDerivedBuffer(absl::string_view name) {
  return absl::EndsWith(name, "rotary_emb.inv_freq");
}

// Whether it names a file of the folder itself.
bool IsPlainFileName(absl::string_view name) {
  if (name.empty() || name == "." || name == ".." || name.size() > 255) return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
  });
}

// "model-00001-of-00002.safetensors"
bool LooksLikeShard(absl::string_view name) {
  return absl::StrContains(name, "-of-");
}

// What to say of a folder without safetensors.
absl::Status NoCheckpoint(const std::string& directory, const std::vector<std::string>& names) {
  const auto has = [&names](auto predicate) {
    return std::any_of(names.begin(), names.end(), predicate);
  };
  const auto found = [&directory](absl::string_view what) {
    return absl::NotFoundError(
        absl::StrCat(directory, " has no *.safetensors file; it holds ", what));
  };
  if (names.empty()) return absl::NotFoundError(absl::StrCat(directory, " is empty"));
  if (has([](const std::string& name) { return absl::EndsWith(name, ".gguf"); })) {
    return found(
        "GGUF files, which are not supported: download the original repository, which has "
        "safetensors");
  }
  if (has([](const std::string& name) {
        return absl::StartsWith(name, "pytorch_model") || absl::EndsWith(name, ".bin") ||
               absl::EndsWith(name, ".pth") || absl::EndsWith(name, ".pt");
      })) {
    return found(
        "PyTorch pickles, which can run code and are not read: convert them with "
        "transformers' save_pretrained(..., safe_serialization=True), or download a "
        "revision that has safetensors");
  }
  if (has([](const std::string& name) { return absl::EndsWith(name, ".incomplete"); })) {
    return found("an unfinished download: run the download again");
  }
  return absl::NotFoundError(
      absl::StrCat(directory, " has no *.safetensors file, so there are no weights to load"));
}

// The only *.safetensors file of a folder that has neither model.safetensors nor an index.
absl::StatusOr<std::string> OnlyFile(const std::string& directory) {
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(directory));
  std::vector<std::string> candidates;
  for (const std::string& name : names) {
    if (absl::EndsWith(name, kSuffix)) candidates.push_back(name);
  }
  if (candidates.empty()) return NoCheckpoint(directory, names);
  if (LooksLikeShard(candidates.front())) {
    return absl::NotFoundError(absl::StrCat(directory, " has the shard ", candidates.front(),
                                            ", but no ", kIndex, ": the download is incomplete"));
  }
  if (candidates.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        directory, " has ", candidates.size(), " safetensors files, ", candidates[0], " and ",
        candidates[1], " among them, but no ", kIndex, " that says how they belong together"));
  }
  if (absl::StartsWith(candidates.front(), "adapter_")) {
    return absl::UnimplementedError(
        absl::StrCat(directory, " holds an adapter (", candidates.front(),
                     "), not a whole model: merge it into its base model first"));
  }
  if (absl::StartsWith(candidates.front(), "consolidated")) {
    return absl::UnimplementedError(absl::StrCat(
        directory, " holds ", candidates.front(),
        " in Mistral's own naming: download the files whose names begin with \"model\""));
  }
  return candidates.front();
}

}  // namespace

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::string& directory) {
  if (!DirectoryExists(directory)) {
    return absl::NotFoundError(absl::StrCat("there is no directory ", directory));
  }
  Checkpoint checkpoint;
  checkpoint.directory_ = directory;
  // The order in which transformers looks for them.
  if (FileExists(JoinPath(directory, kSingle))) {
    LLMCORE_RETURN_IF_ERROR(checkpoint.OpenSingle(std::string(kSingle)));
  } else if (FileExists(JoinPath(directory, kIndex))) {
    LLMCORE_RETURN_IF_ERROR(checkpoint.OpenSharded(JoinPath(directory, kIndex)));
  } else {
    LLMCORE_ASSIGN_OR_RETURN(const std::string name, OnlyFile(directory));
    LLMCORE_RETURN_IF_ERROR(checkpoint.OpenSingle(name));
  }
  return checkpoint;
}

void Checkpoint::Add(const TensorView& tensor) {
  tensors_.push_back(&tensor);
  by_name_.emplace(tensor.name, &tensor);
  total_bytes_ += tensor.data.size();
}

absl::Status Checkpoint::OpenSingle(const std::string& name) {
  LLMCORE_ASSIGN_OR_RETURN(auto file, SafetensorsFile::Open(JoinPath(directory_, name)));
  for (const TensorView& tensor : file->tensors()) {
    if (!IsDerivedBuffer(tensor.name)) Add(tensor);
  }
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

absl::Status Checkpoint::OpenSharded(const std::string& index_path) {
  LLMCORE_ASSIGN_OR_RETURN(const JsonObjectDocument index, ReadJsonObject(index_path));
  absl::StatusOr<const JsonObject*> map = index.GetObject("weight_map");
  if (!map.ok()) return Annotate(map.status(), index_path);

  // All names are checked before any file is opened.
  HashMap<absl::string_view, size_t> shard_of_file;
  HashMap<absl::string_view, size_t> shard_of_tensor;
  std::vector<std::string> shards;
  for (const auto& [tensor, value] : (*map)->members()) {
    const absl::string_view* const name = value.if_string();
    if (name == nullptr || !IsPlainFileName(*name) || !absl::EndsWith(*name, kSuffix)) {
      return absl::InvalidArgumentError(
          absl::StrCat(index_path, ": tensor ", Quoted(tensor), " is said to be in ",
                       name == nullptr ? std::string(value.kind_name()) : Quoted(*name),
                       ", which is not the name of a *.safetensors file of the folder"));
    }
    const auto [entry, is_new] = shard_of_file.emplace(*name, shards.size());
    if (is_new) shards.emplace_back(*name);
    if (shards.size() > kMostShards) {
      return absl::InvalidArgumentError(
          absl::StrCat(index_path, ": names more than ", kMostShards, " files"));
    }
    shard_of_tensor.emplace(tensor, entry->second);
  }
  if (shards.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(index_path, ": \"weight_map\" is empty"));
  }

  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string path = JoinPath(directory_, shards[i]);
    if (!FileExists(path)) {
      return absl::NotFoundError(absl::StrCat("shard ", path, ", which ", kIndex,
                                              " names, is missing: the download is incomplete"));
    }
    LLMCORE_ASSIGN_OR_RETURN(auto file, SafetensorsFile::Open(path));
    for (const TensorView& tensor : file->tensors()) {
      const auto found = shard_of_tensor.find(tensor.name);
      if (found != shard_of_tensor.end() && found->second == i) {
        if (!IsDerivedBuffer(tensor.name)) Add(tensor);
        shard_of_tensor.erase(found);
      } else if (!IsDerivedBuffer(tensor.name)) {
        return absl::InvalidArgumentError(absl::StrCat(
            tensor.Where(), " is not where ", kIndex, " puts it",
            found == shard_of_tensor.end() ? ": the index does not name it, or names another file"
                                           : absl::StrCat(", which is ", shards[found->second])));
      }
    }
    files_.push_back(std::move(file));
  }
  if (!shard_of_tensor.empty()) {
    const auto& [tensor, shard] = *std::min_element(shard_of_tensor.begin(), shard_of_tensor.end());
    return absl::InvalidArgumentError(absl::StrCat(JoinPath(directory_, shards[shard]),
                                                   " has no tensor ", Quoted(tensor), ", which ",
                                                   kIndex, " puts there"));
  }
  return absl::OkStatus();
}

const TensorView* Checkpoint::Find(absl::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

absl::StatusOr<const TensorView*> Checkpoint::Get(absl::string_view name) const {
  const TensorView* const tensor = Find(name);
  if (tensor != nullptr) return tensor;
  return absl::NotFoundError(
      absl::StrCat("the checkpoint in ", directory_, " has no tensor ", Quoted(name)));
}

}  // namespace llmcore::core
