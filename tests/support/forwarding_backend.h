// A backend that lays out, allocates and packs as another one: what test backends derive from.
#ifndef LLMCORE_TESTS_SUPPORT_FORWARDING_BACKEND_H_
#define LLMCORE_TESTS_SUPPORT_FORWARDING_BACKEND_H_

#include <memory>
#include <string>
#include <utility>

#include "lib/backend/backend.h"

namespace llmcore::core {

class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(std::unique_ptr<Backend> to) : to_(std::move(to)) {}

  absl::string_view name() const override { return to_->name(); }
  std::string Description() const override { return to_->Description(); }
  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(uint64_t bytes) override {
    return to_->Allocate(bytes);
  }
  uint64_t PackedWeightBytes(const WeightShape& shape) const override {
    return to_->PackedWeightBytes(shape);
  }
  uint64_t KvBlockBytes(const KvShape& shape) const override { return to_->KvBlockBytes(shape); }
  uint64_t WorkspaceBytes(const StepLimits& limits) const override {
    return to_->WorkspaceBytes(limits);
  }
  std::string KvLayoutName(const KvShape& shape) const override { return to_->KvLayoutName(shape); }
  std::string WeightLayoutName(WeightFormat format) const override {
    return to_->WeightLayoutName(format);
  }
  int64_t WeightSliceRows() const override { return to_->WeightSliceRows(); }
  absl::Status CheckPackedWeight(const WeightShape& shape, std::span<const std::byte> bytes,
                                 const WorkControl& control) override {
    return to_->CheckPackedWeight(shape, bytes, control);
  }
  absl::Status PackWeight(const WeightShape& shape, std::span<const SourceMatrix> parts,
                          void* destination, const WorkControl& control) override {
    return to_->PackWeight(shape, parts, destination, control);
  }

 protected:
  Backend& to() const { return *to_; }

 private:
  const std::unique_ptr<Backend> to_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_TESTS_SUPPORT_FORWARDING_BACKEND_H_
