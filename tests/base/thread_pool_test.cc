#include "lib/base/thread_pool.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/cpu_features.h"

namespace llmcore::core {
namespace {

std::unique_ptr<ThreadPool> MakePool(int threads) {
  auto pool = ThreadPool::Create(threads);
  EXPECT_TRUE(pool.ok()) << pool.status();
  return *std::move(pool);
}

TEST(ThreadPoolTest, EveryIndexRunsOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    const auto pool = MakePool(threads);
    EXPECT_EQ(pool->threads(), threads);
    for (const int64_t count : {0, 1, 2, 5, 100, 1001}) {
      for (const int64_t chunk : {1, 3, 1000}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
        std::atomic<bool> in_range{true};
        ASSERT_TRUE(pool->ParallelFor(count, chunk, nullptr,
                                      [&](int64_t begin, int64_t end, int thread) {
                                        if (thread < 0 || thread >= threads || begin % chunk != 0 ||
                                            end - begin > chunk) {
                                          in_range = false;
                                        }
                                        for (int64_t i = begin; i < end; ++i) {
                                          ++seen[static_cast<size_t>(i)];
                                        }
                                      })
                        .ok());
        EXPECT_TRUE(in_range);
        for (const auto& times : seen) ASSERT_EQ(times, 1);
      }
    }
  }
}

TEST(ThreadPoolTest, LoopsFollowEachOtherWithoutARace) {
  const auto pool = MakePool(3);
  // Plain memory, each loop reading what other threads wrote in the one before.
  std::vector<int64_t> values(64, 0);
  std::vector<int64_t> next(64, 0);
  for (int turn = 0; turn < 2000; ++turn) {
    ASSERT_TRUE(pool->ParallelFor(64, 1, nullptr,
                                  [&](int64_t begin, int64_t, int) {
                                    next[begin] = values[(begin + 1) % 64] + 1;
                                  })
                    .ok());
    values.swap(next);
  }
  for (const int64_t v : values) EXPECT_EQ(v, 2000);
}

TEST(ThreadPoolTest, CancellationIsSeenBetweenPieces) {
  const auto pool = MakePool(2);
  CancelToken cancel;
  std::atomic<int> pieces{0};
  const absl::Status status = pool->ParallelFor(1000, 1, &cancel, [&](int64_t, int64_t, int) {
    if (++pieces == 10) cancel.Cancel();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_LT(pieces, 1000);
  cancel.Reset();
  EXPECT_TRUE(pool->ParallelFor(10, 1, &cancel, [](int64_t, int64_t, int) {}).ok());
}

TEST(ThreadPoolTest, ExceptionsBecomeErrors) {
  const auto pool = MakePool(3);
  for (const int64_t thrower : {0, 99}) {
    EXPECT_EQ(pool->ParallelFor(100, 1, nullptr,
                                [&](int64_t begin, int64_t, int) {
                                  if (begin == thrower) throw std::bad_alloc();
                                })
                  .code(),
              absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(pool->ParallelFor(100, 1, nullptr,
                                [&](int64_t begin, int64_t, int) {
                                  if (begin == thrower) throw std::runtime_error("no");
                                })
                  .code(),
              absl::StatusCode::kInternal);
  }
  EXPECT_TRUE(pool->ParallelFor(100, 1, nullptr, [](int64_t, int64_t, int) {}).ok());
}

TEST(ThreadPoolTest, ImpossibleNumbersOfThreadsAreRefused) {
  EXPECT_EQ(ThreadPool::Create(-1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ThreadPool::Create(ThreadPool::kMaxThreads + 1).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakePool(0)->threads(), UsableCores());
}

TEST(ThreadPoolTest, PoolsComeAndGo) {
  for (int i = 0; i < 200; ++i) {
    const auto pool = MakePool(1 + i % 4);
    if (i % 2 == 0) continue;  // some end before their workers ever ran
    EXPECT_TRUE(pool->ParallelFor(4, 1, nullptr, [](int64_t, int64_t, int) {}).ok());
  }
}

TEST(CpuFeaturesTest, QuotasAreReadAndRoundedUp) {
  EXPECT_EQ(CoresOfCpuMax("50000 100000"), 1);
  EXPECT_EQ(CoresOfCpuMax("150000 100000"), 2);
  EXPECT_EQ(CoresOfCpuMax("400000 100000"), 4);
  for (const char* none : {"", "max 100000", "x", "1", "5 0", "-1 100000", "5 x"}) {
    EXPECT_EQ(CoresOfCpuMax(none), std::nullopt) << none;
  }
  EXPECT_GE(UsableCores(), 1);
}

// A tree like /sys/fs/cgroup.
class ControlGroupsTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove_all(mount_); }
  void TearDown() override { std::filesystem::remove_all(mount_); }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = mount_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << '\n';
  }

  const std::string mount_ = testing::TempDir() + "llmcore_control_groups";
};

TEST_F(ControlGroupsTest, TheLeastQuotaOnTheWayUpCounts) {
  const std::string groups = "0::/service/worker\n";
  EXPECT_EQ(CoresOfControlGroups(groups, mount_), std::nullopt);
  Write("/service/cpu.max", "max 100000");
  EXPECT_EQ(CoresOfControlGroups(groups, mount_), std::nullopt);
  Write("/service/worker/cpu.max", "600000 100000");
  EXPECT_EQ(CoresOfControlGroups(groups, mount_), 6);
  Write("/service/cpu.max", "250000 100000");
  EXPECT_EQ(CoresOfControlGroups(groups, mount_), 3);
  Write("/other/cpu.max", "100000 100000");
  EXPECT_EQ(CoresOfControlGroups(groups, mount_), 3);
  Write("/cpu.max", "100000 100000");  // the root of a container is a group like others
  EXPECT_EQ(CoresOfControlGroups(groups, mount_), 1);
  EXPECT_EQ(CoresOfControlGroups("0::/\n", mount_), 1);
}

TEST_F(ControlGroupsTest, VersionOneHasAHierarchyOfItsOwn) {
  const std::string groups = "4:memory:/a\n2:cpuacct,cpu:/a/b\n0::/c\n";
  Write("/memory/a/cpu.cfs_quota_us", "100000");
  Write("/memory/a/cpu.cfs_period_us", "100000");
  EXPECT_EQ(CoresOfControlGroups(groups, mount_), std::nullopt);
  Write("/cpu/a/b/cpu.cfs_quota_us", "-1");
  Write("/cpu/a/b/cpu.cfs_period_us", "100000");
  EXPECT_EQ(CoresOfControlGroups(groups, mount_), std::nullopt);
  Write("/cpu/a/cpu.cfs_quota_us", "150000");
  Write("/cpu/a/cpu.cfs_period_us", "100000");
  EXPECT_EQ(CoresOfControlGroups(groups, mount_), 2);
}

TEST_F(ControlGroupsTest, WhatIsNoListOfGroupsSetsNoLimit) {
  Write("/cpu.max", "100000 100000");
  for (const char* groups : {"", "\n\n", "nonsense", "0:", "1:cpuset:/", ":::", "0::relative"}) {
    const std::optional<int> cores = CoresOfControlGroups(groups, mount_);
    EXPECT_TRUE(!cores.has_value() || *cores == 1) << groups;
  }
}

TEST(CpuFeaturesTest, WiderSetsContainNarrowerOnes) {
  const CpuFeatures features = DetectCpuFeatures();
  EXPECT_TRUE(features.Has(Isa::kBaseline));
  EXPECT_TRUE(features.Has(features.best()));
  EXPECT_TRUE(!features.avx512 || features.avx2);
  EXPECT_TRUE(!features.avx512_vnni || features.avx512);
#if defined(__x86_64__) && defined(__GNUC__)
  EXPECT_EQ(features.avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
  EXPECT_EQ(features.avx512_vnni, static_cast<bool>(__builtin_cpu_supports("avx512vnni")));
#endif
}

}  // namespace
}  // namespace llmcore::core
