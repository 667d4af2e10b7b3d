#include "lib/base/status.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace llmcore::core {
namespace {

TEST(StatusTest, BytesNeededSurviveAnnotation) {
  const absl::Status status =
      Annotate(ResourceExhaustedError("budget too small", 123456789012345), "loading");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "loading: budget too small");
  EXPECT_EQ(BytesNeeded(status), 123456789012345u);
}

TEST(StatusTest, OtherErrorsNeedNoBytes) {
  EXPECT_EQ(BytesNeeded(absl::ResourceExhaustedError("x")), std::nullopt);
  EXPECT_EQ(BytesNeeded(absl::OkStatus()), std::nullopt);
  EXPECT_TRUE(Annotate(absl::OkStatus(), "x").ok());
}

TEST(StatusTest, ErrnoKeepsItsMeaning) {
  EXPECT_EQ(ErrnoError(ENOENT, "x").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrnoError(ENOSPC, "x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoError(EACCES, "x").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrnoError(EIO, "cannot read f").message(), "cannot read f: Input/output error");
}

}  // namespace
}  // namespace llmcore::core
