// Memory for what is made, read for a while and thrown away as a whole, such as a parsed file.
// Large pieces are mappings of their own, so that all of it goes back to the system, whatever was
// taken from the heap meanwhile and is kept.
#ifndef LLMCORE_LIB_BASE_PAGE_MEMORY_H_
#define LLMCORE_LIB_BASE_PAGE_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace llmcore::core {

// Aligned to 16. Throws std::bad_alloc.
void* AllocatePages(size_t bytes);
void FreePages(void* memory, size_t bytes) noexcept;  // `bytes` as they were asked for

// For containers that grow large and go.
template <typename T>
struct PageAllocator {
  using value_type = T;

  PageAllocator() = default;
  template <typename U>
  explicit PageAllocator(const PageAllocator<U>&) {}

  T* allocate(size_t count) {
    if (count > SIZE_MAX / sizeof(T)) throw std::bad_alloc();
    return static_cast<T*>(AllocatePages(count * sizeof(T)));
  }
  void deallocate(T* memory, size_t count) noexcept { FreePages(memory, count * sizeof(T)); }
  bool operator==(const PageAllocator&) const { return true; }
};

using PageString = std::basic_string<char, std::char_traits<char>, PageAllocator<char>>;

// Hands out pieces that live as long as the arena. Thread rule: one thread at a time.
class PageArena {
 public:
  PageArena() = default;
  PageArena(const PageArena&) = delete;
  PageArena& operator=(const PageArena&) = delete;
  ~PageArena();

  // Room for `count` objects of a type without a destructor. Throws std::bad_alloc.
  template <typename T>
  T* Take(size_t count) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= kAlignment);
    if (count > SIZE_MAX / 2 / sizeof(T)) throw std::bad_alloc();
    return static_cast<T*>(TakeBytes(count * sizeof(T)));
  }

 private:
  static constexpr size_t kAlignment = 16;

  void* TakeBytes(size_t bytes);

  std::vector<std::pair<void*, size_t>> chunks_;
  std::byte* next_ = nullptr;
  size_t left_ = 0;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_PAGE_MEMORY_H_
