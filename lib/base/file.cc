#include "lib/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace llmcore::core {
namespace {

// Closes a descriptor at the end of a scope.
class ScopedDescriptor {
 public:
  explicit ScopedDescriptor(int descriptor) : descriptor_(descriptor) {}
  ScopedDescriptor(const ScopedDescriptor&) = delete;
  ScopedDescriptor& operator=(const ScopedDescriptor&) = delete;
  ~ScopedDescriptor() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  int get() const { return descriptor_; }

 private:
  const int descriptor_;
};

absl::StatusOr<uint64_t> SizeOfRegularFile(int descriptor, const std::string& path) {
  struct stat info;
  if (fstat(descriptor, &info) != 0) return ErrnoError(errno, absl::StrCat("cannot stat ", path));
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a regular file"));
  }
  return static_cast<uint64_t>(info.st_size);
}

absl::Status WriteFully(int descriptor, std::span<const std::byte> bytes, uint64_t offset,
                        const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written =
        pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, absl::StrCat("cannot write ", path));
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return absl::OkStatus();
}

template <typename String>
absl::StatusOr<String> ReadWholeFile(const std::string& path, uint64_t max_bytes) {
  const ScopedDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return ErrnoError(errno, absl::StrCat("cannot open ", path));
  LLMCORE_ASSIGN_OR_RETURN(const uint64_t size, SizeOfRegularFile(file.get(), path));
  if (size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", size, " bytes, more than the limit of ", max_bytes));
  }
  String content(static_cast<size_t>(size), '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t count = read(file.get(), content.data() + done, content.size() - done);
    if (count < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, absl::StrCat("cannot read ", path));
    }
    if (count == 0) break;  // shortened meanwhile
    done += static_cast<size_t>(count);
  }
  content.resize(done);
  return content;
}

// Puts a finished file or directory in its place, for good: a rename is an entry of the folder,
// which a power failure undoes until the folder itself is flushed. A failure before the rename
// changes nothing; after it the new content is there, but it is not known to last.
absl::Status RenameDurably(const std::string& from, const std::string& to) {
  const size_t slash = to.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : to.substr(0, slash + 1);
  const ScopedDescriptor directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) return ErrnoError(errno, absl::StrCat("cannot open ", folder));
  if (rename(from.c_str(), to.c_str()) != 0) {
    return ErrnoError(errno, absl::StrCat("cannot rename ", from, " to ", to));
  }
  // File systems without entries to flush answer EINVAL.
  if (fsync(directory.get()) != 0 && errno != EINVAL) {
    return ErrnoError(errno, absl::StrCat(to, " is written, but cannot flush ", folder));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  const ScopedDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return ErrnoError(errno, absl::StrCat("cannot open ", path));
  LLMCORE_ASSIGN_OR_RETURN(const uint64_t size, SizeOfRegularFile(file.get(), path));
  MappedFile mapped;
  mapped.path_ = path;
  if (size == 0) return mapped;
  if (size > std::numeric_limits<size_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is too large to map"));
  }
  void* const data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) return ErrnoError(errno, absl::StrCat("cannot map ", path));
  mapped.data_ = static_cast<const std::byte*>(data);
  mapped.size_ = size;
#if defined(MADV_HUGEPAGE)
  // What has to be read from disk then comes in huge pages, where the file system can, and is
  // mapped by them. A refusal costs speed only.
  constexpr size_t kHugePage = size_t{2} << 20;
  if (size >= 2 * kHugePage) (void)madvise(data, size, MADV_HUGEPAGE);
#endif
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::WillNeed(uint64_t offset, uint64_t length) const {
  if (offset >= size_ || length == 0) return;
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t begin = offset / page * page;
  const uint64_t end = length > size_ - offset ? size_ : offset + length;
  madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_WILLNEED);
}

void MappedFile::Release(uint64_t offset, uint64_t length) const {
  if (offset >= size_ || length == 0) return;
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  // Only pages that lie whole inside the range: their neighbours may still be in use.
  const uint64_t begin = (offset + page - 1) / page * page;
  const uint64_t limit = length > size_ - offset ? size_ : offset + length;
  const uint64_t end = limit == size_ ? size_ : limit / page * page;
  if (begin < end) madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes) {
  return ReadWholeFile<std::string>(path, max_bytes);
}

absl::StatusOr<PageString> ReadFileToPages(const std::string& path, uint64_t max_bytes) {
  return ReadWholeFile<PageString>(path, max_bytes);
}

absl::StatusOr<std::string> ReadStream(const std::string& path, uint64_t max_bytes) {
  const ScopedDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return ErrnoError(errno, absl::StrCat("cannot open ", path));
  std::string content;
  char buffer[4096];
  while (true) {
    const ssize_t count = read(file.get(), buffer, sizeof(buffer));
    if (count == 0) return content;
    if (count < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, absl::StrCat("cannot read ", path));
    }
    content.append(buffer, static_cast<size_t>(count));
    if (content.size() > max_bytes) {
      return absl::InvalidArgumentError(absl::StrCat(path, " has more than ", max_bytes, " bytes"));
    }
  }
}

bool FileExists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool DirectoryExists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

absl::Status CreateDirectory(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    mkdir(path.substr(0, slash).c_str(), 0777);  // the last one says whether it worked
  }
  if (mkdir(path.c_str(), 0777) != 0 && !DirectoryExists(path)) {
    return ErrnoError(errno, absl::StrCat("cannot create directory ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  if (directory == nullptr) return ErrnoError(errno, absl::StrCat("cannot list ", path));
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* const entry = readdir(directory.get());
    if (entry == nullptr) break;
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return ErrnoError(errno, absl::StrCat("cannot list ", path));
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<AtomicFileWriter> AtomicFileWriter::Create(const std::string& path) {
  AtomicFileWriter writer;
  writer.path_ = path;
  for (int attempt = 0; attempt < 100; ++attempt) {
    writer.temporary_path_ = absl::StrCat(path, ".tmp-", getpid(), "-", attempt);
    writer.descriptor_ =
        open(writer.temporary_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (writer.descriptor_ >= 0) return writer;
    if (errno != EEXIST) break;
  }
  return ErrnoError(errno, absl::StrCat("cannot create ", writer.temporary_path_));
}

AtomicFileWriter::AtomicFileWriter(AtomicFileWriter&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_),
      path_(std::move(other.path_)),
      temporary_path_(std::move(other.temporary_path_)) {}

AtomicFileWriter::~AtomicFileWriter() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_path_.c_str());
}

absl::Status AtomicFileWriter::Append(std::span<const std::byte> bytes) {
  LLMCORE_RETURN_IF_ERROR(WriteFully(descriptor_, bytes, size_, temporary_path_));
  size_ += bytes.size();
  return absl::OkStatus();
}

absl::Status AtomicFileWriter::Append(absl::string_view text) {
  return Append(std::as_bytes(std::span(text.data(), text.size())));
}

absl::Status AtomicFileWriter::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  if (offset > size_ || bytes.size() > size_ - offset) {
    return absl::InternalError(absl::StrCat("write past what ", path_, " holds"));
  }
  return WriteFully(descriptor_, bytes, offset, temporary_path_);
}

absl::Status AtomicFileWriter::Commit() {
  if (fsync(descriptor_) != 0) {
    return ErrnoError(errno, absl::StrCat("cannot flush ", temporary_path_));
  }
  LLMCORE_RETURN_IF_ERROR(RenameDurably(temporary_path_, path_));
  close(std::exchange(descriptor_, -1));
  return absl::OkStatus();
}

absl::StatusOr<AtomicDirectoryWriter> AtomicDirectoryWriter::Create(absl::string_view destination) {
  while (destination.size() > 1 && absl::ConsumeSuffix(&destination, "/")) {
  }
  AtomicDirectoryWriter writer;
  writer.destination_ = std::string(destination);
  struct stat info;
  if (stat(writer.destination_.c_str(), &info) == 0) {
    bool is_free = S_ISDIR(info.st_mode);
    if (is_free) {
      LLMCORE_ASSIGN_OR_RETURN(const auto names, ListDirectory(writer.destination_));
      is_free = names.empty();
    }
    if (!is_free) {
      return absl::AlreadyExistsError(
          absl::StrCat(destination, " exists and is not an empty directory"));
    }
  }
  const size_t slash = writer.destination_.rfind('/');
  if (slash != std::string::npos && slash > 0) {
    LLMCORE_RETURN_IF_ERROR(CreateDirectory(writer.destination_.substr(0, slash)));
  }
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::string temporary = absl::StrCat(destination, ".tmp-", getpid(), "-", attempt);
    if (mkdir(temporary.c_str(), 0777) == 0) {
      writer.temporary_path_ = std::move(temporary);
      return writer;
    }
    if (errno != EEXIST) break;
  }
  return ErrnoError(errno, absl::StrCat("cannot create a directory beside ", destination));
}

AtomicDirectoryWriter::AtomicDirectoryWriter(AtomicDirectoryWriter&& other) noexcept
    : destination_(std::move(other.destination_)),
      temporary_path_(std::exchange(other.temporary_path_, std::string())) {}

AtomicDirectoryWriter::~AtomicDirectoryWriter() {
  if (temporary_path_.empty()) return;
  try {
    const auto names = ListDirectory(temporary_path_);
    if (names.ok()) {
      for (const std::string& name : *names) unlink(JoinPath(temporary_path_, name).c_str());
    }
  } catch (...) {
    // No memory: the directory stays behind, and there is nobody to tell.
  }
  rmdir(temporary_path_.c_str());
}

absl::Status AtomicDirectoryWriter::Commit() {
  LLMCORE_RETURN_IF_ERROR(RenameDurably(temporary_path_, destination_));
  temporary_path_.clear();
  return absl::OkStatus();
}

std::string JoinPath(absl::string_view directory, absl::string_view name) {
  if (directory.empty()) return std::string(name);
  return absl::StrCat(absl::StripSuffix(directory, "/"), "/", name);
}

}  // namespace llmcore::core
