// Errors as values: Error, and Result<T>, which is a T or an Error.
//
// Functions that return a Result do not throw llmcore::Error; only Result::value() does, because
// its caller chose not to look first. Where exceptions are switched off (-fno-exceptions) it calls
// std::terminate instead. Ranges that are iterated are the one other place: see session.hpp.
#ifndef LLMCORE_ERROR_HPP_
#define LLMCORE_ERROR_HPP_

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "llmcore/llmcore.h"

namespace llmcore {
inline namespace v1 {

// The canonical codes of Abseil and gRPC; llmcore.h says which come when.
enum class ErrorCode : uint32_t {
  kOk = LLMCORE_OK,
  kCancelled = LLMCORE_CANCELLED,
  kUnknown = LLMCORE_UNKNOWN,
  kInvalidArgument = LLMCORE_INVALID_ARGUMENT,
  kDeadlineExceeded = LLMCORE_DEADLINE_EXCEEDED,
  kNotFound = LLMCORE_NOT_FOUND,
  kAlreadyExists = LLMCORE_ALREADY_EXISTS,
  kPermissionDenied = LLMCORE_PERMISSION_DENIED,
  kResourceExhausted = LLMCORE_RESOURCE_EXHAUSTED,
  kFailedPrecondition = LLMCORE_FAILED_PRECONDITION,
  kAborted = LLMCORE_ABORTED,
  kOutOfRange = LLMCORE_OUT_OF_RANGE,
  kUnimplemented = LLMCORE_UNIMPLEMENTED,
  kInternal = LLMCORE_INTERNAL,
  kUnavailable = LLMCORE_UNAVAILABLE,
  kDataLoss = LLMCORE_DATA_LOSS,
  kUnauthenticated = LLMCORE_UNAUTHENTICATED,
};

// What went wrong; also what is thrown. One that is made by default is "no error".
class Error : public std::exception {
 public:
  Error() = default;
  Error(ErrorCode code, std::string message, uint64_t bytes_needed = 0)
      : code_(code), message_(std::move(message)), bytes_needed_(bytes_needed) {}

  // Takes over and destroys what a C function returned; NULL becomes "no error".
  static Error Take(llmcore_error* error) {
    if (error == nullptr) return Error();
    Error taken(static_cast<ErrorCode>(llmcore_error_code(error)), llmcore_error_message(error),
                llmcore_error_bytes_needed(error));
    llmcore_error_destroy(error);
    return taken;
  }

  bool ok() const noexcept { return code_ == ErrorCode::kOk; }
  ErrorCode code() const noexcept { return code_; }
  // One sentence: what failed, where, what would do.
  const std::string& message() const noexcept { return message_; }
  // For kResourceExhausted the bytes that would have been enough, where known; else 0.
  uint64_t bytes_needed() const noexcept { return bytes_needed_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorCode code_ = ErrorCode::kOk;
  std::string message_;
  uint64_t bytes_needed_ = 0;
};

namespace internal {

[[noreturn]] inline void Raise(const Error& error) {
#if defined(__cpp_exceptions)
  throw error;
#else
  static_cast<void>(error);
  std::terminate();
#endif
}

}  // namespace internal

// A T, or why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}      // NOLINT: `return value;` is the point
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: `return error;` likewise

  bool ok() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }
  // "No error" when ok().
  const Error& error() const noexcept { return error_; }

  // The value; without one throws error(), or terminates where exceptions are switched off.
  T& value() & {
    if (!ok()) internal::Raise(error_);
    return *value_;
  }
  const T& value() const& {
    if (!ok()) internal::Raise(error_);
    return *value_;
  }
  // Of a result that is about to go: a value, so that `for (auto x : Encode(text).value())` and
  // `const auto& x = Encode(text).value()` do not refer to what has gone.
  T value() && {
    if (!ok()) internal::Raise(error_);
    return *std::move(value_);
  }

  // The value, after ok() was seen to be true.
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Error error_;
};

// Success, or why not.
template <>
class Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: `return error;` is the point

  bool ok() const noexcept { return error_.ok(); }
  explicit operator bool() const noexcept { return ok(); }
  const Error& error() const noexcept { return error_; }
  void value() const {
    if (!ok()) internal::Raise(error_);
  }

 private:
  Error error_;
};

}  // namespace v1
}  // namespace llmcore

#endif  // LLMCORE_ERROR_HPP_
