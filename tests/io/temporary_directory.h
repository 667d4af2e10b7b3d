// A directory of one test, removed with all that is in it.
#ifndef LLMCORE_TESTS_IO_TEMPORARY_DIRECTORY_H_
#define LLMCORE_TESTS_IO_TEMPORARY_DIRECTORY_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/string_view.h"

namespace llmcore::core {

class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_(testing::TempDir() + "/llmcore_XXXXXX") {
    EXPECT_NE(mkdtemp(path_.data()), nullptr) << path_;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }

  // Writes a file, with the directories on its way, and returns its path.
  std::string Write(const std::string& name, absl::string_view content) const {
    const std::filesystem::path path = std::filesystem::path(path_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream file(path, std::ios::binary);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    EXPECT_TRUE(file.good()) << path;
    return path.string();
  }

 private:
  std::string path_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_TESTS_IO_TEMPORARY_DIRECTORY_H_
