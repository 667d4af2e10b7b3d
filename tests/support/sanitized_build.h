// Which sanitizer this program was built with; GCC and Clang say it in different ways.
#ifndef LLMCORE_TESTS_SUPPORT_SANITIZED_BUILD_H_
#define LLMCORE_TESTS_SUPPORT_SANITIZED_BUILD_H_

#if defined(__has_feature)
#define LLMCORE_HAS_FEATURE(name) __has_feature(name)
#else
#define LLMCORE_HAS_FEATURE(name) 0
#endif

namespace llmcore {

#if defined(__SANITIZE_ADDRESS__) || LLMCORE_HAS_FEATURE(address_sanitizer)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif

#if defined(__SANITIZE_THREAD__) || LLMCORE_HAS_FEATURE(thread_sanitizer)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

// Everything takes ten times as long, and memory beside its own.
inline constexpr bool kSanitized = kAddressSanitizer || kThreadSanitizer;

}  // namespace llmcore

#undef LLMCORE_HAS_FEATURE

#endif  // LLMCORE_TESTS_SUPPORT_SANITIZED_BUILD_H_
