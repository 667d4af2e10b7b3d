// Which backend a device's name gives, in builds with CUDA and without, on machines with a GPU and
// without.
#include "lib/session/device.h"

#include <gtest/gtest.h>

#include <string>

namespace llmcore::core {
namespace {

TEST(DeviceTest, CudaIsADeviceOrUnavailableAndAutoGoesOn) {
  const auto cuda = CreateBackend("cuda", 1, /*deterministic=*/true);
  const auto automatic = CreateBackend("auto", 1, /*deterministic=*/true);
  ASSERT_TRUE(automatic.ok()) << automatic.status();
  if (cuda.ok()) {
    EXPECT_EQ((*cuda)->name(), "cuda");
    EXPECT_EQ((*automatic)->name(), "cuda");
    return;
  }
  EXPECT_EQ(cuda.status().code(), absl::StatusCode::kUnavailable) << cuda.status();
  EXPECT_NE(cuda.status().message().find("CUDA"), std::string::npos) << cuda.status();
  EXPECT_EQ((*automatic)->name(), "cpu");
}

TEST(DeviceTest, TheCpuIsAlwaysThere) {
  const auto cpu = CreateBackend("cpu", 1, /*deterministic=*/true);
  ASSERT_TRUE(cpu.ok()) << cpu.status();
  EXPECT_EQ((*cpu)->name(), "cpu");
}

TEST(DeviceTest, OtherNamesAreRefused) {
  for (const char* name : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "CUDA", "cuda:0x", "cpu:0"}) {
    EXPECT_EQ(CreateBackend(name, 1, /*deterministic=*/true).status().code(),
              absl::StatusCode::kInvalidArgument)
        << name;
  }
}

}  // namespace
}  // namespace llmcore::core
