#include "lib/io/model_path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/io/temporary_directory.h"

namespace llmcore::core {
namespace {

using testing::HasSubstr;

TEST(ModelPathTest, ADirectoryIsTakenAsItIs) {
  const TemporaryDirectory directory;
  EXPECT_EQ(ResolveModelPathIn(directory.path(), "").value(), directory.path());
}

TEST(ModelPathTest, RepositoriesResolveToTheirMainSnapshot) {
  const TemporaryDirectory cache;
  cache.Write("models--Qwen--Qwen2.5-0.5B/refs/main", "0123abcd\n");
  cache.Write("models--Qwen--Qwen2.5-0.5B/snapshots/0123abcd/config.json", "{}");
  cache.Write("models--Qwen--Qwen2.5-0.5B/snapshots/ffff/config.json", "{}");
  EXPECT_EQ(ResolveModelPathIn("Qwen/Qwen2.5-0.5B", cache.path()).value(),
            cache.path() + "/models--Qwen--Qwen2.5-0.5B/snapshots/0123abcd");
  cache.Write("models--gpt2/refs/main", "77");
  cache.Write("models--gpt2/snapshots/77/config.json", "{}");
  EXPECT_EQ(ResolveModelPathIn("gpt2", cache.path()).value(),
            cache.path() + "/models--gpt2/snapshots/77");
}

TEST(ModelPathTest, ASingleSnapshotNeedsNoReference) {
  const TemporaryDirectory cache;
  cache.Write("models--a--b/snapshots/1/config.json", "{}");
  EXPECT_TRUE(ResolveModelPathIn("a/b", cache.path()).ok());
  cache.Write("models--a--b/snapshots/2/config.json", "{}");
  EXPECT_FALSE(ResolveModelPathIn("a/b", cache.path()).ok());
}

TEST(ModelPathTest, WhatIsNotCachedSaysHowToDownloadIt) {
  const TemporaryDirectory cache;
  cache.Write("models--a--b/refs/main", "../../../etc");
  cache.Write("models--a--c/refs/main", "aa");  // its snapshot is missing
  for (const char* name : {"a/b", "a/c", "Qwen/Qwen2.5-0.5B-Instruct", "x"}) {
    const auto path = ResolveModelPathIn(name, cache.path());
    EXPECT_EQ(path.status().code(), absl::StatusCode::kNotFound) << name;
    EXPECT_THAT(std::string(path.status().message()),
                HasSubstr(std::string("`hf download ") + name + "`"));
    EXPECT_THAT(std::string(path.status().message()), HasSubstr(cache.path()));
  }
  EXPECT_THAT(std::string(ResolveModelPathIn("a/b", "").status().message()),
              HasSubstr("hf download"));
}

TEST(ModelPathTest, OtherPathsAreOnlyPaths) {
  for (const char* name : {"/no/such/dir", "./none", "a/b/c", "a/../b", "a b", "-a", "a--b/c"}) {
    const auto path = ResolveModelPathIn(name, "/tmp");
    EXPECT_EQ(path.status().code(), absl::StatusCode::kNotFound) << name;
    EXPECT_THAT(std::string(path.status().message()), HasSubstr("there is no directory"));
    EXPECT_THAT(std::string(path.status().message()), testing::Not(HasSubstr("hf download")));
  }
  EXPECT_EQ(ResolveModelPathIn("", "").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ResolveModelPathIn(absl::string_view("a\0b", 3), "").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ModelPathTest, AFileIsNotAModel) {
  const TemporaryDirectory directory;
  const std::string file = directory.Write("model.gguf", "GGUF");
  EXPECT_THAT(std::string(ResolveModelPathIn(file, "").status().message()),
              HasSubstr("is a file; a model is the directory"));
}

// Sets variables of the environment for the length of a scope.
class ScopedEnvironment {
 public:
  explicit ScopedEnvironment(const std::vector<std::pair<std::string, std::string>>& values) {
    for (const char* name :
         {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"}) {
      const char* const old = getenv(name);
      old_.emplace_back(name, old == nullptr ? std::nullopt : std::optional<std::string>(old));
      unsetenv(name);
    }
    for (const auto& [name, value] : values) setenv(name.c_str(), value.c_str(), 1);
  }
  ~ScopedEnvironment() {
    for (const auto& [name, value] : old_) {
      if (value.has_value()) {
        setenv(name.c_str(), value->c_str(), 1);
      } else {
        unsetenv(name.c_str());
      }
    }
  }

 private:
  std::vector<std::pair<std::string, std::optional<std::string>>> old_;
};

TEST(ModelPathTest, TheCacheFollowsTheEnvironment) {
  const auto cache = [](const std::vector<std::pair<std::string, std::string>>& values) {
    const ScopedEnvironment environment(values);
    return HuggingFaceCacheDirectory();
  };
  EXPECT_EQ(cache({}), "");
  EXPECT_EQ(cache({{"HOME", "/h"}}), "/h/.cache/huggingface/hub");
  EXPECT_EQ(cache({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}}), "/x/huggingface/hub");
  EXPECT_EQ(cache({{"XDG_CACHE_HOME", "/x"}, {"HF_HOME", "/f"}}), "/f/hub");
  EXPECT_EQ(cache({{"HF_HOME", "/f"}, {"HUGGINGFACE_HUB_CACHE", "/g"}}), "/g");
  EXPECT_EQ(cache({{"HUGGINGFACE_HUB_CACHE", "/g"}, {"HF_HUB_CACHE", "/c"}}), "/c");
  EXPECT_EQ(cache({{"HOME", "/h"}, {"HF_HUB_CACHE", "~/c"}}), "/h/c");
  EXPECT_EQ(cache({{"HOME", "/h"}, {"HF_HUB_CACHE", ""}}), "/h/.cache/huggingface/hub");
}

}  // namespace
}  // namespace llmcore::core
