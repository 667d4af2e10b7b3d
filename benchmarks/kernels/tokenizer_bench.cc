// tokenizer_bench DIR FILE: for each line on standard input encodes the file once and prints the
// seconds, the number of ids and a checksum of them. benchmarks/compare_tokenizers.py drives it.
#include <chrono>
#include <iostream>
#include <string>

#include "lib/base/file.h"
#include "lib/tokenizer/tokenizer.h"

int main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  if (argc != 3) {
    std::cerr << "usage: tokenizer_bench DIR FILE\n";
    return 2;
  }
  const auto tokenizer = llmcore::core::Tokenizer::Load(argv[1]);
  const auto text = llmcore::core::ReadFile(argv[2], uint64_t{1} << 30);
  if (!tokenizer.ok() || !text.ok()) {
    std::cerr << tokenizer.status() << " " << text.status() << "\n";
    return 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    const auto start = Clock::now();
    const auto ids = (*tokenizer)->Encode(*text, {.add_special = false});
    const std::chrono::duration<double> elapsed = Clock::now() - start;
    if (!ids.ok()) {
      std::cerr << ids.status() << "\n";
      return 1;
    }
    uint64_t checksum = 0;
    for (const llmcore::core::TokenId id : *ids)
      checksum = checksum * 31 + static_cast<uint64_t>(id);
    std::cout << elapsed.count() << " " << ids->size() << " " << checksum << std::endl;
  }
  return 0;
}
