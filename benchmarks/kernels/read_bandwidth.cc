#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "benchmarks/kernels/ceilings.h"
#include "benchmarks/kernels/pinned_threads.h"
#include "lib/base/cpu_features.h"

namespace llmcore::benchmarks {
namespace {

constexpr size_t kPiece = size_t{1} << 20;  // of one call: about 20 us
constexpr double kSeconds = 0.12;           // a prefetch distance

// Anonymous memory on huge pages where the system grants them, touched once.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) {
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return;
    madvise(data, bytes, MADV_HUGEPAGE);
    std::memset(data, 1, bytes);
    data_ = static_cast<const unsigned char*>(data);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr) munmap(const_cast<unsigned char*>(data_), bytes_);
  }
  const unsigned char* data() const { return data_; }

 private:
  size_t bytes_;
  const unsigned char* data_ = nullptr;
};

// Eight independent sums over `bytes`, a multiple of 512. Prefetches that reach past the end do
// nothing.
#define LLMCORE_READ(name, target)                                                 \
  target uint64_t name(const unsigned char* data, size_t bytes, size_t prefetch) { \
    typedef uint64_t Lane __attribute__((vector_size(64)));                        \
    Lane sums[8] = {};                                                             \
    for (size_t i = 0; i < bytes; i += 8 * sizeof(Lane)) {                         \
      for (size_t j = 0; j < 8; ++j) {                                             \
        const unsigned char* line = data + i + j * sizeof(Lane);                   \
        if (prefetch > 0) __builtin_prefetch(line + prefetch);                     \
        sums[j] ^= *reinterpret_cast<const Lane*>(line);                           \
      }                                                                            \
    }                                                                              \
    uint64_t sum = 0;                                                              \
    for (const Lane& lane : sums) sum ^= lane[0] ^ lane[7];                        \
    return sum;                                                                    \
  }
LLMCORE_READ(ReadBaseline, )
#if defined(__x86_64__)
LLMCORE_READ(ReadAvx2, __attribute__((target("avx2"))))
LLMCORE_READ(ReadAvx512, __attribute__((target("avx512f"))))
#endif
#undef LLMCORE_READ

using Read = uint64_t (*)(const unsigned char*, size_t, size_t);

Read BestRead() {
#if defined(__x86_64__)
  const core::CpuFeatures features = core::DetectCpuFeatures();
  if (features.avx512) return ReadAvx512;
  if (features.avx2) return ReadAvx2;
#endif
  return ReadBaseline;
}

// Far more than a last-level cache holds, whatever its size.
size_t BytesAThread(int threads) {
  const long last_level = std::max(sysconf(_SC_LEVEL3_CACHE_SIZE), 0L);
  const size_t total = std::max(size_t{256} << 20, 8 * static_cast<size_t>(last_level));
  return std::max(total / static_cast<size_t>(threads) / kPiece, size_t{1}) * kPiece;
}

}  // namespace

double ReadBandwidth(int threads) {
  const size_t share = BytesAThread(threads);
  const Buffer buffer(share * static_cast<size_t>(threads));
  if (buffer.data() == nullptr) return 0;
  const Read read = BestRead();
  struct alignas(64) Place {
    size_t at = 0;
    uint64_t sum = 0;
  };
  double best = 0;
  for (const size_t prefetch : {0, 1024, 4096}) {
    std::vector<Place> places(static_cast<size_t>(threads));
    best = std::max(best, PinnedRate(threads, kSeconds, [&](int thread) {
                      Place& place = places[static_cast<size_t>(thread)];
                      const unsigned char* begin =
                          buffer.data() + static_cast<size_t>(thread) * share;
                      place.sum ^= read(begin + place.at, kPiece, prefetch);
                      place.at = (place.at + kPiece) % share;
                      return static_cast<double>(kPiece);
                    }));
  }
  return best;
}

}  // namespace llmcore::benchmarks
