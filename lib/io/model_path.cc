#include "lib/io/model_path.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "lib/base/file.h"
#include "lib/base/quote.h"

namespace llmcore::core {
namespace {

std::string Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string ExpandHome(const std::string& path) {
  if (path != "~" && !absl::StartsWith(path, "~/")) return path;
  return Environment("HOME") + path.substr(1);
}

// The rules of the Hugging Face hub: "name" or "owner/name" of letters, digits, '-', '_' and '.',
// without "--" and "..", none of '-' and '.' at either end, 96 characters at most.
bool IsRepositoryName(absl::string_view name) {
  if (name.empty() || name.size() > 96) return false;
  if (absl::StrContains(name, "--") || absl::StrContains(name, "..")) return false;
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() > 2) return false;
  return std::all_of(parts.begin(), parts.end(), [](absl::string_view part) {
    const auto allowed = [](char c) {
      return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
    };
    const auto at_end = [](char c) { return c == '-' || c == '.'; };
    return !part.empty() && std::all_of(part.begin(), part.end(), allowed) &&
           !at_end(part.front()) && !at_end(part.back());
  });
}

// The directory of the main revision of a cached repository, "" when it is not there in full.
std::string CachedSnapshot(const std::string& repository) {
  const std::string snapshots = JoinPath(repository, "snapshots");
  const auto revision = ReadFile(JoinPath(repository, "refs/main"), 1024);
  if (revision.ok()) {
    const absl::string_view name = absl::StripAsciiWhitespace(*revision);
    const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
      return absl::ascii_isalnum(static_cast<unsigned char>(c));
    });
    const std::string directory = JoinPath(snapshots, name);
    return plain && DirectoryExists(directory) ? directory : "";
  }
  // A download by commit leaves no refs/main; a single snapshot is not ambiguous.
  const auto revisions = ListDirectory(snapshots);
  if (!revisions.ok() || revisions->size() != 1) return "";
  return JoinPath(snapshots, revisions->front());
}

}  // namespace

std::string HuggingFaceCacheDirectory() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    const std::string value = Environment(name);
    if (!value.empty()) return ExpandHome(value);
  }
  const std::string hugging_face = Environment("HF_HOME");
  if (!hugging_face.empty()) return JoinPath(ExpandHome(hugging_face), "hub");
  const std::string cache = Environment("XDG_CACHE_HOME");
  if (!cache.empty()) return JoinPath(ExpandHome(cache), "huggingface/hub");
  const std::string home = Environment("HOME");
  return home.empty() ? "" : JoinPath(home, ".cache/huggingface/hub");
}

absl::StatusOr<std::string> ResolveModelPath(absl::string_view name) {
  return ResolveModelPathIn(name, HuggingFaceCacheDirectory());
}

absl::StatusOr<std::string> ResolveModelPathIn(absl::string_view name,
                                               const std::string& cache_directory) {
  const std::string path(name);
  if (path.empty()) return absl::InvalidArgumentError("the model's path is empty");
  if (path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model's path ", Quoted(path), " contains a NUL character"));
  }
  if (DirectoryExists(path)) return path;
  if (FileExists(path)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is a file; a model is the directory that holds config.json and *.safetensors"));
  }
  if (!IsRepositoryName(path)) {
    return absl::NotFoundError(absl::StrCat("there is no directory ", Quoted(path)));
  }
  if (!cache_directory.empty()) {
    const std::string snapshot = CachedSnapshot(JoinPath(
        cache_directory, absl::StrCat("models--", absl::StrReplaceAll(path, {{"/", "--"}}))));
    if (!snapshot.empty()) return snapshot;
  }
  return absl::NotFoundError(absl::StrCat(
      "there is no directory ", path, ", and no Hugging Face model of that name in ",
      cache_directory.empty() ? "a local cache" : absl::StrCat("the cache ", cache_directory),
      "; download it with `hf download ", path, "`"));
}

}  // namespace llmcore::core
