// The only place of the library that talks to the file system.
#ifndef LLMCORE_LIB_BASE_FILE_H_
#define LLMCORE_LIB_BASE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/page_memory.h"
#include "lib/base/status.h"

namespace llmcore::core {

// A whole file mapped read-only. Pages are read on first touch; a file that another process
// shortens while it is mapped is outside what any library can survive, as the header says.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

  // Tells the kernel that the range will be read soon, or will not be read again (its pages then
  // no longer count towards the resident size). Advice only: failures are ignored.
  void WillNeed(uint64_t offset, uint64_t length) const;
  void Release(uint64_t offset, uint64_t length) const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::string path_;
};

// A small file as a string. Larger than `max_bytes` is an error that says both sizes.
absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes);

// The same for larger files that are read once, in memory that goes back to the system.
absl::StatusOr<PageString> ReadFileToPages(const std::string& path, uint64_t max_bytes);

// ReadFile for a file that does not know its size (those of /proc): reads until its end.
absl::StatusOr<std::string> ReadStream(const std::string& path, uint64_t max_bytes);

bool FileExists(const std::string& path);               // a regular file (links are followed)
bool DirectoryExists(const std::string& path);          // likewise
absl::Status CreateDirectory(const std::string& path);  // and its parents; existing is OK
// Names of the entries without "." and "..", sorted.
absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path);

// Writes `path + ".tmp-<pid>-<n>"`, and on Commit flushes it to disk, renames it over `path` and
// flushes the folder, so that a reader sees the old file or the whole new one, also after a power
// failure. Without Commit the file is removed.
class AtomicFileWriter {
 public:
  static absl::StatusOr<AtomicFileWriter> Create(const std::string& path);

  AtomicFileWriter(AtomicFileWriter&& other) noexcept;
  AtomicFileWriter& operator=(AtomicFileWriter&&) = delete;
  ~AtomicFileWriter();

  absl::Status Append(std::span<const std::byte> bytes);
  absl::Status Append(absl::string_view text);
  // Overwrites bytes that were appended before (a header whose content is known last).
  absl::Status WriteAt(uint64_t offset, std::span<const std::byte> bytes);
  absl::Status Commit();
  uint64_t size() const { return size_; }

 private:
  AtomicFileWriter() = default;

  int descriptor_ = -1;
  uint64_t size_ = 0;
  std::string path_;
  std::string temporary_path_;
};

// The same for a directory of plain files: they are written to path(), `destination +
// ".tmp-<pid>-<n>"`, which Commit renames for good. Without Commit it is removed with its files.
class AtomicDirectoryWriter {
 public:
  // ALREADY_EXISTS when there is a file or a directory that is not empty. Makes the parents.
  static absl::StatusOr<AtomicDirectoryWriter> Create(absl::string_view destination);

  AtomicDirectoryWriter(AtomicDirectoryWriter&& other) noexcept;
  AtomicDirectoryWriter& operator=(AtomicDirectoryWriter&&) = delete;
  ~AtomicDirectoryWriter();

  const std::string& path() const { return temporary_path_; }
  absl::Status Commit();

 private:
  AtomicDirectoryWriter() = default;

  std::string destination_;
  std::string temporary_path_;  // empty when there is nothing to remove
};

// "dir/name"; `dir` may end in a slash.
std::string JoinPath(absl::string_view directory, absl::string_view name);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_FILE_H_
