// What the classes of this API are made of: owned C handles, views, texts.
#ifndef LLMCORE_HANDLE_HPP_
#define LLMCORE_HANDLE_HPP_

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "llmcore/error.hpp"
#include "llmcore/llmcore.h"

namespace llmcore {
inline namespace v1 {

using Token = llmcore_token;

// `size()` values that stand elsewhere. Made from a vector without being asked.
template <typename T>
class View {
 public:
  View() = default;
  View(const T* data, size_t size) : data_(data), size_(size) {}
  View(const std::vector<T>& values)  // NOLINT: a vector is a view of itself
      : data_(values.data()), size_(values.size()) {}

  const T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  const T& operator[](size_t index) const { return data_[index]; }

 private:
  const T* data_ = nullptr;
  size_t size_ = 0;
};

namespace internal {

template <auto kDestroy>
struct Destroyer {
  template <typename T>
  void operator()(T* handle) const noexcept {
    kDestroy(handle);
  }
};

template <typename T, auto kDestroy>
using Handle = std::unique_ptr<T, Destroyer<kDestroy>>;

inline std::string TakeText(llmcore_text* text) {
  const Handle<llmcore_text, llmcore_text_destroy> owned(text);
  return std::string(llmcore_text_data(text), llmcore_text_size(text));
}

// Keeps the first of several errors and destroys the others.
class FirstError {
 public:
  void operator()(llmcore_error* error) {
    if (error_.ok()) {
      error_ = Error::Take(error);
    } else {
      llmcore_error_destroy(error);
    }
  }
  bool ok() const { return error_.ok(); }
  Error Take() { return std::move(error_); }

 private:
  Error error_;
};

}  // namespace internal
}  // namespace v1
}  // namespace llmcore

#endif  // LLMCORE_HANDLE_HPP_
