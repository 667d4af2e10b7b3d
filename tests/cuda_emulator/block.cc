#include "tests/cuda_emulator/block.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "tests/cuda_emulator/fiber.h"
#include "tests/cuda_emulator/sanitizers.h"

namespace cuda_emulator {
namespace {

constexpr size_t kSharedCapacity = size_t{256} << 10;
constexpr size_t kSharedGuard = 1024;  // also keeps the whole a multiple of its alignment
constexpr int kPoison = 0xFF;
constexpr int kMaxCopies = 256;  // cp.async of one thread that have not completed

struct Copy {
  void* destination;
  const void* source;
  size_t bytes;
  size_t valid;
  int group;
};

struct Thread {
  Fiber fiber;
  Place place;
  uint32_t warp = 0;
  bool returned = false;
  Copy copies[kMaxCopies];
  int copy_count = 0;
  int committed = 0;  // groups
};

constexpr size_t kMaxThreads = 1024;  // of a block

// The sanitizers see every call of memmove, memset and delete. So what the scheduler keeps is of
// fixed size and is not moved: fibers may then touch it in turns, and nobody takes that for a race.

// Lanes that wait for the rest of their mask.
struct Meeting {
  uint32_t mask = 0;  // 0: not in use
  uint32_t arrived = 0;
  Meet meet = nullptr;
  void* operands[kWarp] = {};
};

struct Warp {
  Meeting meetings[kWarp];
  uint32_t returned = 0;
  uint32_t present = 0;
  // Alternating, since one object would order what comes after a barrier before the next one.
  char barrier_objects[2];
  int phase[kWarp];
};

// xorshift64 (Marsaglia 2003).
uint64_t Next(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

// One an OS thread, kept from block to block.
class Block {
 public:
  Block() {
    shared_ = static_cast<std::byte*>(std::aligned_alloc(1024, kSharedCapacity + kSharedGuard));
    if (shared_ == nullptr) std::abort();
  }
  ~Block() {
    Acquire(&end_object_);
    UnpoisonMemory(shared_, kSharedCapacity + kSharedGuard);
    std::free(shared_);
  }

  bool Run(const Kernel& kernel, const Grid& grid, Index block, char* fault, size_t fault_size);

  void Barrier();
  void WarpSync(uint32_t mask);
  void MeetAt(uint32_t mask, void* operand, Meet meet);
  void* shared() const { return shared_; }
  Thread& current() { return *current_; }
  [[noreturn]] void Fault(const char* format, va_list arguments);
  void Main();

 private:
  void Prepare(const Grid& grid, Index block);
  void Wait();  // until somebody makes the current thread ready
  void Ready(Thread* thread) { ready_[ready_end_++ % kMaxThreads] = thread; }
  void Leave();  // the current thread returned
  void OpenBarrier();
  void CheckSharedGuard();

  std::byte* shared_;
  size_t shared_bytes_ = 0;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<Warp> warps_;
  Thread* ready_[kMaxThreads];  // a ring: from next_ready_ to ready_end_
  size_t next_ready_ = 0;
  size_t ready_end_ = 0;
  size_t count_ = 0;
  size_t alive_ = 0;
  Thread* barrier_waiters_[kMaxThreads];
  size_t waiting_ = 0;
  char barrier_objects_[2];
  int barrier_phase_ = 0;
  char begin_object_ = 0;  // the thread that runs the block to its fibers
  char end_object_ = 0;    // and back, from wherever they are left
  Thread* current_ = nullptr;
  Fiber scheduler_;
  const Kernel* kernel_ = nullptr;
  char* fault_ = nullptr;
  size_t fault_size_ = 0;
  bool faulted_ = false;
};

thread_local std::unique_ptr<Block> block_of_thread;
thread_local Thread* running = nullptr;

void Entry() {
  Fiber::Entered();
  block_of_thread->Main();
}

bool Block::Run(const Kernel& kernel, const Grid& grid, Index block, char* fault,
                size_t fault_size) {
  kernel_ = &kernel;
  fault_ = fault;
  fault_size_ = fault_size;
  Prepare(grid, block);
  while (next_ready_ < ready_end_) {
    current_ = running = ready_[next_ready_++ % kMaxThreads];
    Fiber::Switch(&scheduler_, &current_->fiber);
    if (faulted_ || alive_ == 0) break;
  }
  running = nullptr;
  Acquire(&end_object_);
  if (!faulted_ && alive_ > 0) {
    faulted_ = true;
    std::snprintf(fault_, fault_size_,
                  "deadlock: of %zu threads that have not returned, %zu wait at a barrier of the "
                  "block and the others for lanes of their warp",
                  alive_, waiting_);
  }
  if (!faulted_) CheckSharedGuard();
  return !faulted_;
}

void Block::Prepare(const Grid& grid, Index block) {
  count_ = alive_ = size_t{grid.block_size.x} * grid.block_size.y * grid.block_size.z;
  while (threads_.size() < count_) threads_.push_back(std::make_unique<Thread>());
  const size_t warps = (count_ + kWarp - 1) / kWarp;
  if (warps_.size() < warps) warps_.resize(warps);
  for (Warp& warp : warps_) {
    for (Meeting& meeting : warp.meetings) meeting = {};
    warp.returned = warp.present = 0;
    std::fill(std::begin(warp.phase), std::end(warp.phase), 0);
  }
  next_ready_ = ready_end_ = 0;
  waiting_ = 0;
  barrier_phase_ = 0;
  faulted_ = false;
  shared_bytes_ = grid.shared_bytes;
  Acquire(&end_object_);
  UnpoisonMemory(shared_, kSharedCapacity + kSharedGuard);
  std::memset(shared_, kPoison, shared_bytes_ + kSharedGuard);
  PoisonMemory(shared_ + shared_bytes_, kSharedCapacity + kSharedGuard - shared_bytes_);
  Release(&begin_object_);

  for (size_t i = 0; i < count_; ++i) {
    Thread& thread = *threads_[i];
    const auto linear = static_cast<uint32_t>(i);
    thread.place.thread = {linear % grid.block_size.x,
                           linear / grid.block_size.x % grid.block_size.y,
                           linear / grid.block_size.x / grid.block_size.y};
    thread.place.block = block;
    thread.place.block_size = grid.block_size;
    thread.place.grid_size = grid.grid_size;
    thread.place.lane = linear % kWarp;
    thread.warp = linear / kWarp;
    thread.returned = false;
    thread.copy_count = thread.committed = 0;
    warps_[thread.warp].present |= 1u << thread.place.lane;
    thread.fiber.Reset(Entry);
    Ready(&thread);
  }
  uint64_t state =
      grid.seed * 0x9E3779B97F4A7C15 + block.x * 7919u + block.y * 104729u + block.z * 1299709u + 1;
  for (size_t i = count_ - 1; i > 0; --i) std::swap(ready_[i], ready_[Next(&state) % (i + 1)]);
}

void Block::Main() {
  Acquire(&begin_object_);
  kernel_->call(kernel_->arguments);
  Leave();
  std::abort();  // nobody comes back to a thread that returned
}

void Block::Wait() {
  Release(&end_object_);
  Thread* const self = current_;
  if (next_ready_ == ready_end_) {
    Fiber::Switch(&self->fiber, &scheduler_);  // a deadlock: never returns
  } else {
    current_ = running = ready_[next_ready_++ % kMaxThreads];
    if (current_ != self) Fiber::Switch(&self->fiber, &current_->fiber);
  }
  current_ = running = self;
}

void Block::Leave() {
  Release(&end_object_);
  Thread* const self = current_;
  self->returned = true;
  --alive_;
  Warp& warp = warps_[self->warp];
  warp.returned |= 1u << self->place.lane;
  for (const Meeting& meeting : warp.meetings) {
    if ((meeting.mask & warp.returned) != 0) {
      cuda_emulator::Fault("lane %u returned while lanes %08x wait for it with mask %08x",
                           self->place.lane, meeting.arrived, meeting.mask);
    }
  }
  if (alive_ > 0 && waiting_ == alive_) OpenBarrier();
  Fiber::Switch(&self->fiber, &scheduler_);
}

void Block::OpenBarrier() {
  for (size_t i = 0; i < waiting_; ++i) Ready(barrier_waiters_[i]);
  waiting_ = 0;
  barrier_phase_ ^= 1;
}

void Block::Barrier() {
  char* const object = &barrier_objects_[barrier_phase_];
  Release(object);
  if (waiting_ + 1 == alive_) {
    OpenBarrier();
  } else {
    barrier_waiters_[waiting_++] = current_;
    Wait();
  }
  Acquire(object);
}

void Block::WarpSync(uint32_t mask) {
  Warp& warp = warps_[current_->warp];
  const uint32_t lane = current_->place.lane;
  char* const object = &warp.barrier_objects[warp.phase[lane]];
  warp.phase[lane] ^= 1;
  Release(object);
  int nothing = 0;
  MeetAt(mask, &nothing, [](void* const*, uint32_t) {});
  Acquire(object);
}

void Block::MeetAt(uint32_t mask, void* operand, Meet meet) {
  Thread* const self = current_;
  Warp& warp = warps_[self->warp];
  const uint32_t bit = 1u << self->place.lane;
  if ((mask & bit) == 0) {
    cuda_emulator::Fault("lane %u is not in its own mask %08x", self->place.lane, mask);
  }
  if ((mask & warp.returned) != 0 || (mask & ~warp.present) != 0) {
    cuda_emulator::Fault("mask %08x has lanes that returned or never were: %08x", mask,
                         mask & (warp.returned | ~warp.present));
  }
  Meeting* found = nullptr;
  Meeting* free = nullptr;
  for (Meeting& each : warp.meetings) {
    if (each.mask == 0) {
      if (free == nullptr) free = &each;
    } else if (each.mask == mask) {
      found = &each;
    } else if ((each.mask & bit) != 0 && (each.arrived & mask) != 0) {
      // They wait for this lane, which is about to wait for one of them.
      cuda_emulator::Fault("lane %u came with mask %08x while lanes %08x wait with mask %08x",
                           self->place.lane, mask, each.arrived, each.mask);
    }
  }
  if (found == nullptr) {  // each waiting lane is in one meeting, so there is a free one
    found = free;
    found->mask = mask;
    found->meet = meet;
  }
  Meeting& meeting = *found;
  if (meeting.meet != meet) {
    cuda_emulator::Fault("lane %u came to another operation than lanes %08x that wait",
                         self->place.lane, meeting.arrived);
  }
  meeting.operands[self->place.lane] = operand;
  meeting.arrived |= bit;
  if (meeting.arrived != mask) {
    Wait();
    return;
  }
  meet(meeting.operands, mask);
  const size_t first = self->warp * size_t{kWarp};
  for (uint32_t lane = 0; lane < kWarp; ++lane) {
    meeting.operands[lane] = nullptr;
    if (lane != self->place.lane && (mask >> lane & 1) != 0) Ready(threads_[first + lane].get());
  }
  meeting.mask = meeting.arrived = 0;
}

void Block::CheckSharedGuard() {
  UnpoisonMemory(shared_ + shared_bytes_, kSharedGuard);
  for (size_t i = 0; i < kSharedGuard; ++i) {
    if (shared_[shared_bytes_ + i] == std::byte{kPoison}) continue;
    faulted_ = true;
    std::snprintf(fault_, fault_size_, "byte %zu of %zu bytes of shared memory was written",
                  shared_bytes_ + i, shared_bytes_);
    return;
  }
}

void Block::Fault(const char* format, va_list arguments) {
  char text[256];
  std::vsnprintf(text, sizeof text, format, arguments);
  const Place& place = current_->place;
  std::snprintf(fault_, fault_size_, "%s (thread %u,%u,%u of block %u,%u,%u)", text, place.thread.x,
                place.thread.y, place.thread.z, place.block.x, place.block.y, place.block.z);
  faulted_ = true;
  Release(&end_object_);
  Fiber::Switch(&current_->fiber, &scheduler_);
  std::abort();
}

}  // namespace

const Place& Here() {
  return running->place;
}

void BlockBarrier() {
  block_of_thread->Barrier();
}

void WarpBarrier(uint32_t mask) {
  block_of_thread->WarpSync(mask);
}

void MemoryFence() {
  static char fence_object;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  Release(&fence_object);
  Acquire(&fence_object);
}

void WarpMeet(uint32_t mask, void* operand, Meet meet) {
  block_of_thread->MeetAt(mask, operand, meet);
}

void* SharedMemory() {
  return block_of_thread->shared();
}

void AsyncCopy(void* destination, const void* source, size_t bytes, size_t valid) {
  Thread& thread = *running;
  if (reinterpret_cast<uintptr_t>(destination) % bytes != 0 ||
      (valid > 0 && reinterpret_cast<uintptr_t>(source) % bytes != 0)) {
    Fault("cp.async of %zu bytes at an address that is no multiple of that", bytes);
  }
  if (thread.copy_count == kMaxCopies) Fault("more than %d cp.async wait", kMaxCopies);
  std::memset(destination, kPoison, bytes);
  thread.copies[thread.copy_count++] = {destination, source, bytes, valid, thread.committed};
}

void AsyncCommit() {
  ++running->committed;
}

void AsyncWait(int pending) {
  Thread& thread = *running;
  int kept = 0;
  for (int i = 0; i < thread.copy_count; ++i) {
    const Copy& copy = thread.copies[i];
    // A copy that was never committed is in no group and stays.
    if (copy.group >= thread.committed - pending) {
      thread.copies[kept++] = copy;
      continue;
    }
    std::memcpy(copy.destination, copy.source, copy.valid);
    std::memset(static_cast<std::byte*>(copy.destination) + copy.valid, 0, copy.bytes - copy.valid);
  }
  thread.copy_count = kept;
}

void Fault(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  block_of_thread->Fault(format, arguments);
}

bool RunBlock(const Kernel& kernel, const Grid& grid, Index block, char* fault, size_t fault_size) {
  if (block_of_thread == nullptr) block_of_thread = std::make_unique<Block>();
  return block_of_thread->Run(kernel, grid, block, fault, fault_size);
}

}  // namespace cuda_emulator
