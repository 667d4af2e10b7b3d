// A saved session without the checksum at its end, which is added here: damage is found before
// anything is read, so only a file with the right one gets further. 32 times '@' in the input stand
// for the fingerprint of the model. What is restored must be able to compute.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "lib/base/checksum.h"
#include "lib/session/session.h"

namespace {

using namespace llmcore::core;

std::shared_ptr<const Model> LoadModel() {
  ModelOptions options;
  options.device = "cpu";
  options.threads = 1;
  options.max_context = 64;
  options.kv_cache_tokens = 64;
  auto model = Model::Load(std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus", options);
  if (!model.ok()) std::abort();
  return *model;
}

std::string TemporaryPath() {
  std::string path = "/tmp/llmcore_fuzz_XXXXXX";
  const int file = mkstemp(path.data());
  if (file < 0) std::abort();
  close(file);
  return path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::shared_ptr<const Model> model = LoadModel();
  std::string content(reinterpret_cast<const char*>(data), size);
  const size_t place = content.find(std::string(32, '@'));
  if (place != std::string::npos) content.replace(place, 32, model->fingerprint());
  Checksum checksum;
  checksum.Add(content);
  for (const std::byte byte : checksum.Finish()) content.push_back(static_cast<char>(byte));
  const std::string path = TemporaryPath();
  std::ofstream(path, std::ios::binary) << content;
  {
    const auto session = Session::Restore(model, path);
    if (session.ok() && !(*session)->tokens().empty() && !(*session)->Logits().ok()) std::abort();
  }
  unlink(path.c_str());
  if (model->engine().free_kv_blocks() != model->plan().kv_blocks) std::abort();
  return 0;
}
