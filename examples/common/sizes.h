// Sizes in bytes, as people write and read them.
#ifndef LLMCORE_EXAMPLES_COMMON_SIZES_H_
#define LLMCORE_EXAMPLES_COMMON_SIZES_H_

#include <cstdint>
#include <cstdio>
#include <string>

namespace examples {

// 1048576 -> "1.0 MiB"; below a KiB without a fraction: "12 B".
inline std::string FormatBytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1023.95) {  // what would be printed as 1024.0
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_COMMON_SIZES_H_
