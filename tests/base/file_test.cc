#include "lib/base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

namespace llmcore::core {
namespace {

std::string TestPath(const std::string& name) {
  return JoinPath(testing::TempDir(), "llmcore_file_test_" + name);
}

TEST(FileTest, CommittedContentIsReadBack) {
  const std::string path = TestPath("commit");
  {
    auto writer = AtomicFileWriter::Create(path);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE(writer->Append("0123").ok());
    ASSERT_TRUE(writer->Append("4567").ok());
    const std::byte nine[] = {std::byte{'9'}};
    ASSERT_TRUE(writer->WriteAt(1, nine).ok());
    EXPECT_FALSE(writer->WriteAt(8, nine).ok());
    ASSERT_TRUE(writer->Commit().ok());
  }
  EXPECT_EQ(ReadFile(path, 100).value(), "09234567");
  EXPECT_EQ(MappedFile::Open(path)->bytes().size(), 8u);
  std::filesystem::remove(path);
}

TEST(FileTest, WithoutCommitTheOldContentStays) {
  const std::string path = TestPath("keep");
  {
    auto first = AtomicFileWriter::Create(path);
    ASSERT_TRUE(first->Append("old").ok() && first->Commit().ok());
    auto second = AtomicFileWriter::Create(path);
    ASSERT_TRUE(second->Append("new").ok());
  }
  EXPECT_EQ(ReadFile(path, 100).value(), "old");
  for (const auto& entry : std::filesystem::directory_iterator(testing::TempDir())) {
    EXPECT_EQ(entry.path().string().find("file_test_keep.tmp"), std::string::npos) << entry.path();
  }
  std::filesystem::remove(path);
}

TEST(FileTest, WhatIsNoFileIsAnError) {
  EXPECT_EQ(MappedFile::Open(TestPath("missing")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(MappedFile::Open(testing::TempDir()).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadFile("/dev/zero", 10).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(FileTest, AFifoDoesNotBlock) {
  const std::string path = TestPath("fifo");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::Open(path).status().code(), absl::StatusCode::kInvalidArgument);
  std::filesystem::remove(path);
}

TEST(FileTest, EmptyFilesMapToNothing) {
  const std::string path = TestPath("empty");
  ASSERT_TRUE(AtomicFileWriter::Create(path)->Commit().ok());
  const auto mapped = MappedFile::Open(path);
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  EXPECT_TRUE(mapped->bytes().empty());
  std::filesystem::remove(path);
}

TEST(FileTest, LimitsNameBothSizes) {
  const std::string path = TestPath("limit");
  auto writer = AtomicFileWriter::Create(path);
  ASSERT_TRUE(writer->Append("12345").ok() && writer->Commit().ok());
  EXPECT_EQ(ReadFile(path, 4).status().message(), path + " has 5 bytes, more than the limit of 4");
  std::filesystem::remove(path);
}

TEST(FileTest, DirectoriesAppearWholeOrNotAtAll) {
  const std::string path = TestPath("directory");
  std::filesystem::remove_all(path);
  const std::string inner = path + "/a/b";
  {
    auto dropped = AtomicDirectoryWriter::Create(inner + "/");
    ASSERT_TRUE(dropped.ok()) << dropped.status();
    ASSERT_TRUE(AtomicFileWriter::Create(JoinPath(dropped->path(), "x"))->Commit().ok());
  }
  EXPECT_TRUE(ListDirectory(path + "/a")->empty());
  std::filesystem::create_directory(inner);  // an empty one may be there
  auto kept = AtomicDirectoryWriter::Create(inner);
  ASSERT_TRUE(kept.ok()) << kept.status();
  ASSERT_TRUE(AtomicFileWriter::Create(JoinPath(kept->path(), "x"))->Commit().ok());
  ASSERT_TRUE(kept->Commit().ok());
  EXPECT_EQ(ListDirectory(inner).value(), std::vector<std::string>{"x"});
  EXPECT_EQ(ListDirectory(path + "/a")->size(), 1u);
  for (const std::string& taken : {inner, inner + "/x"}) {
    EXPECT_EQ(AtomicDirectoryWriter::Create(taken).status().code(),
              absl::StatusCode::kAlreadyExists);
  }
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace llmcore::core
