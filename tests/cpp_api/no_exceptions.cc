// A conversation where exceptions and RTTI are switched off, in C++17: errors are values.
#include <cstdio>
#include <llmcore/llmcore.hpp>
#include <string>

namespace {

int Fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return Fail("usage: no_exceptions MODEL_DIRECTORY");
  const llmcore::Result<llmcore::Model> missing = llmcore::Model::Load("no such model");
  if (missing.ok() || missing.error().code() != llmcore::ErrorCode::kNotFound) {
    return Fail("a missing model is not NOT_FOUND");
  }
  llmcore::Result<llmcore::Model> model = llmcore::Model::Load(argv[1]);
  if (!model) return Fail(model.error().what());

  llmcore::SamplingParams params;
  params.temperature = 0.0f;
  llmcore::Session chat(*model);
  chat.AddUser("1.1+2.3=?");
  std::string text;
  llmcore::Generation reply = chat.Generate(params);
  for (const std::string_view piece : reply) text += piece;
  if (!reply.ok()) return Fail(reply.error().what());
  if (text.find("3.4") == std::string::npos) return Fail(text.c_str());

  // A failure inside a range ends it and stays to be asked for.
  chat.Cancel();
  llmcore::Generation cancelled = chat.Generate(params);
  for (const std::string_view piece : cancelled) return Fail(std::string(piece).c_str());
  if (cancelled.error().code() != llmcore::ErrorCode::kCancelled) return Fail("not cancelled");

  // So does one of an append, until it is cleared.
  params.top_p = 7.0f;
  if (chat.Generate(params).error().code() != llmcore::ErrorCode::kInvalidArgument) {
    return Fail("top_p = 7 is not INVALID_ARGUMENT");
  }
  chat.AppendText("text among messages");
  if (chat.ok() || chat.AddUser("2+2=?").ok()) return Fail("the session forgot an error");
  chat.ClearError();
  if (!chat.AddUser("2+2=?").ok()) return Fail("the session kept an error");
  return 0;
}
