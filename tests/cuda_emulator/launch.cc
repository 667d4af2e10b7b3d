#include "tests/cuda_emulator/launch.h"

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

namespace cuda_emulator {
namespace {

constexpr int kWorkers = 1;  // beside the caller: what blocks do to each other shows with two
constexpr uint64_t kBlocksATurn = 4;

// Threads that live as long as the program. What they share is guarded by a mutex and no atomics,
// so that ThreadSanitizer sees the order though this file is compiled without it.
class Workers {
 public:
  Workers() {
    for (int i = 0; i < kWorkers; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~Workers() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  bool Run(const Kernel& kernel, const Grid& grid, char* fault, size_t fault_size) {
    std::unique_lock<std::mutex> lock(mutex_);
    kernel_ = &kernel;
    grid_ = &grid;
    next_ = 0;
    blocks_ = uint64_t{grid.grid_size.x} * grid.grid_size.y * grid.grid_size.z;
    faulted_ = false;
    fault_[0] = 0;
    // The caller takes turns too: a small grid is done before another thread would have woken up.
    if (blocks_ > kBlocksATurn) wake_.notify_all();
    TakeTurns(&lock);
    done_.wait(lock, [this] { return busy_ == 0 && (next_ >= blocks_ || faulted_); });
    kernel_ = nullptr;
    if (faulted_) std::snprintf(fault, fault_size, "%s", fault_);
    return !faulted_;
  }

 private:
  bool HasTurn() const { return kernel_ != nullptr && next_ < blocks_ && !faulted_; }

  void Work() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return ending_ || HasTurn(); });
      if (ending_) return;
      TakeTurns(&lock);
    }
  }

  // Blocks until there are none left, in turns of a few, with the mutex open meanwhile.
  void TakeTurns(std::unique_lock<std::mutex>* lock) {
    char fault[384];
    while (HasTurn()) {
      const uint64_t begin = next_;
      const uint64_t end = begin + kBlocksATurn < blocks_ ? begin + kBlocksATurn : blocks_;
      next_ = end;
      ++busy_;
      const Kernel kernel = *kernel_;
      Grid grid = *grid_;
      lock->unlock();
      bool fine = true;
      for (uint64_t i = begin; i < end && fine; ++i) {
        const Index block = {static_cast<uint32_t>(i % grid.grid_size.x),
                             static_cast<uint32_t>(i / grid.grid_size.x % grid.grid_size.y),
                             static_cast<uint32_t>(i / grid.grid_size.x / grid.grid_size.y)};
        fine = RunBlock(kernel, grid, block, fault, sizeof fault);
      }
      lock->lock();
      --busy_;
      if (!fine && !faulted_) {
        faulted_ = true;
        std::snprintf(fault_, sizeof fault_, "%s", fault);
      }
      if (busy_ == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread> threads_;
  const Kernel* kernel_ = nullptr;
  const Grid* grid_ = nullptr;
  uint64_t next_ = 0;
  uint64_t blocks_ = 0;
  int busy_ = 0;
  bool faulted_ = false;
  bool ending_ = false;
  char fault_[384];
};

}  // namespace

bool RunGrid(const Kernel& kernel, const Grid& grid, char* fault, size_t fault_size) {
  static Workers workers;
  return workers.Run(kernel, grid, fault, fault_size);
}

}  // namespace cuda_emulator
