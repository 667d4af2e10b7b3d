#include "tests/session/ledger_backend.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "lib/cpu/cpu_backend.h"
#include "tests/support/forwarding_backend.h"

namespace llmcore::core {
namespace {

// Address space without a promise of memory behind it.
class ReservedMemory final : public DeviceMemory {
 public:
  static absl::StatusOr<std::unique_ptr<DeviceMemory>> Map(uint64_t bytes) {
    auto memory = std::make_unique<ReservedMemory>();
    void* const data = mmap(nullptr, std::max<uint64_t>(bytes, 1), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return ResourceExhaustedError("no address space", bytes);
    memory->data_ = data;
    memory->size_ = bytes;
    return std::unique_ptr<DeviceMemory>(std::move(memory));
  }
  ~ReservedMemory() override {
    if (data_ != nullptr) munmap(data_, std::max<uint64_t>(size_, 1));
  }
};

absl::Status NoOperations() {
  return absl::UnimplementedError("this backend only loads");
}

class Recorder final : public ForwardingBackend {
 public:
  Recorder(std::unique_ptr<Backend> cpu, bool reserve_only, Ledger* ledger)
      : ForwardingBackend(std::move(cpu)), reserve_only_(reserve_only), ledger_(*ledger) {}

  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(uint64_t bytes) override {
    ledger_.device.push_back(bytes);
    return Give(bytes);
  }
  absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocateHost(uint64_t bytes) override {
    ledger_.host.push_back(bytes);
    return Give(bytes);
  }
  absl::Status PackWeight(const WeightShape& shape, std::span<const SourceMatrix> parts,
                          void* destination, const WorkControl& control) override {
    if (reserve_only_) return absl::OkStatus();
    return ForwardingBackend::PackWeight(shape, parts, destination, control);
  }

  absl::Status Embed(const StepContext&, const EmbedParams&) override { return NoOperations(); }
  absl::Status Norm(const StepContext&, const NormParams&) override { return NoOperations(); }
  absl::Status Linear(const StepContext&, const LinearParams&) override { return NoOperations(); }
  absl::Status LinearGated(const StepContext&, const LinearGatedParams&) override {
    return NoOperations();
  }
  absl::Status RopeAppend(const StepContext&, const RopeAppendParams&) override {
    return NoOperations();
  }
  absl::Status Attention(const StepContext&, const AttentionParams&) override {
    return NoOperations();
  }
  absl::Status GatherRows(const StepContext&, const GatherRowsParams&) override {
    return NoOperations();
  }
  absl::Status CopyBlocks(const StepContext&, const CopyBlocksParams&) override {
    return NoOperations();
  }

 private:
  absl::StatusOr<std::unique_ptr<DeviceMemory>> Give(uint64_t bytes) {
    return reserve_only_ ? ReservedMemory::Map(bytes) : to().Allocate(bytes);
  }

  const bool reserve_only_;
  Ledger& ledger_;
};

}  // namespace

std::unique_ptr<Backend> LedgerBackend(int threads, bool reserve_only, Ledger* ledger) {
  cpu::CpuBackendOptions options;
  options.threads = threads;
  auto cpu = cpu::CpuBackend::Create(options);
  if (!cpu.ok()) return nullptr;
  return std::make_unique<Recorder>(*std::move(cpu), reserve_only, ledger);
}

}  // namespace llmcore::core
