#include "lib/sampling/beam_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace llmcore::core {
namespace {

using Tops = std::vector<std::vector<TokenLogprob>>;
constexpr int32_t kEnd = 9;

BeamSearchParams Params(int32_t width, int32_t answers = 1) {
  BeamSearchParams params;
  params.width = width;
  params.answers = answers;
  return params;
}

TEST(BeamSearchTest, ShowsEnoughCandidatesWhateverEnds) {
  EXPECT_EQ(BeamSearch(Params(3), {}).candidates(), 3u);
  const std::vector<int32_t> ends = {7, 9, 7};
  EXPECT_EQ(BeamSearch(Params(3), ends).candidates(), 9u) << "7 counts once";
}

TEST(BeamSearchTest, FollowsTheBestOfAllBeams) {
  BeamSearch search(Params(2, 2), {});
  ASSERT_TRUE(search.Advance(Tops{{{1, -0.5f}, {2, -1.f}}}));
  ASSERT_TRUE(search.Advance(Tops{{{3, -2.f}, {4, -3.f}}, {{5, -0.25f}, {6, -1.f}}}));
  const auto beams = search.beams();
  ASSERT_EQ(beams.size(), 2u);
  EXPECT_EQ(beams[0].tokens, (std::vector<int32_t>{2, 5}));
  EXPECT_EQ(beams[1].tokens, (std::vector<int32_t>{2, 6}));
  EXPECT_EQ(beams[1].parent, 1u);
  EXPECT_EQ(beams[1].logprobs, (std::vector<float>{-1, -1}));
  const std::vector<Beam> answers = search.Finish();
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_DOUBLE_EQ(answers[0].score, -0.625) << "the mean";
  EXPECT_FALSE(answers[0].ended);
}

TEST(BeamSearchTest, EqualOnesComeInTheOrderOfBeamThenToken) {
  BeamSearch search(Params(3, 3), {});
  ASSERT_TRUE(search.Advance(Tops{{{4, -1.f}, {5, -1.f}, {6, -2.f}}}));
  ASSERT_TRUE(
      search.Advance(Tops{{{7, -2.f}, {8, -2.f}}, {{1, -2.f}, {2, -2.f}}, {{0, -1.f}, {1, -1.f}}}));
  const auto beams = search.beams();
  EXPECT_EQ(beams[0].tokens, (std::vector<int32_t>{4, 7}));
  EXPECT_EQ(beams[1].tokens, (std::vector<int32_t>{4, 8}));
  EXPECT_EQ(beams[2].tokens, (std::vector<int32_t>{5, 1}));
}

TEST(BeamSearchTest, AnEndCountsOnlyAmongTheFirst) {
  const std::vector<int32_t> ends = {kEnd};
  BeamSearch search(Params(2, 2), ends);
  ASSERT_TRUE(search.Advance(Tops{{{1, -1.f}, {2, -2.f}, {kEnd, -3.f}}}));
  EXPECT_EQ(search.beams().size(), 2u);
  ASSERT_TRUE(search.Advance(Tops{{{kEnd, -0.5f}, {3, -4.f}}, {{4, -1.f}, {kEnd, -1.5f}}}));
  const auto beams = search.beams();
  ASSERT_EQ(beams.size(), 2u);
  EXPECT_EQ(beams[0].tokens, (std::vector<int32_t>{2, 4}));
  EXPECT_EQ(beams[1].tokens, (std::vector<int32_t>{1, 3}));
  const std::vector<Beam> answers = search.Finish();
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[0].tokens, (std::vector<int32_t>{1, kEnd})) << "{2, end} ranked third";
  EXPECT_TRUE(answers[0].ended);
  EXPECT_EQ(answers[1].tokens, (std::vector<int32_t>{2, 4}));
}

TEST(BeamSearchTest, StopsEarlyOrWhenNothingCanBeatTheWorst) {
  const std::vector<int32_t> ends = {8, kEnd};
  // Two answers end at once; a beam of sum -2.5 and length 2 goes on.
  const Tops first = {{{1, -1.f}, {2, -1.1f}}};
  const Tops second = {{{kEnd, -1.2f}, {3, -1.5f}}, {{kEnd, -1.3f}, {4, -9.f}}};
  BeamSearchParams params = Params(2, 1);
  for (const bool early : {true, false}) {
    for (const double penalty : {0.0, 1.0}) {
      params.early_stopping = early;
      params.length_penalty = penalty;
      BeamSearch search(params, ends);
      ASSERT_TRUE(search.Advance(first));
      // The best that ranked is itself an end: of sum -2.2, which beats the worst of -2.4.
      EXPECT_EQ(search.Advance(second), !early) << penalty;
      if (early) continue;
      const Tops third = {{{5, -0.1f}, {6, -5.f}}, {{5, -0.1f}, {6, -5.f}}};
      // Best sum -2.6: worse than -2.4 by sums, better by means of 3 and 2 tokens.
      EXPECT_EQ(search.Advance(third), penalty == 1) << penalty;
    }
  }
}

TEST(BeamSearchTest, ImpossibleTokensAreNotFollowed) {
  BeamSearch search(Params(4, 4), {});
  ASSERT_TRUE(search.Advance(Tops{{{1, -0.f}, {2, -INFINITY}}}));
  EXPECT_EQ(search.beams().size(), 1u);
  EXPECT_FALSE(search.Advance(Tops{{{2, -INFINITY}}}));
  EXPECT_TRUE(search.Finish().empty());
  BeamSearch empty(Params(4, 4), {});
  const std::vector<Beam> nothing = empty.Finish();
  ASSERT_EQ(nothing.size(), 1u) << "no room for a token: one answer of none";
  EXPECT_EQ(nothing[0].score, 0);
}

TEST(BeamSearchTest, ParametersOutOfRangeAreRefusedByName) {
  const auto message = [](BeamSearchParams params) {
    return std::string(params.Validate().message());
  };
  EXPECT_TRUE(Params(1, 1).Validate().ok());
  EXPECT_NE(message(Params(0)).find("width"), std::string::npos);
  EXPECT_NE(message(Params(257)).find("width"), std::string::npos);
  EXPECT_NE(message(Params(4, 5)).find("answers"), std::string::npos);
  BeamSearchParams params;
  params.length_penalty = NAN;
  EXPECT_NE(message(params).find("length_penalty"), std::string::npos);
}

}  // namespace
}  // namespace llmcore::core
