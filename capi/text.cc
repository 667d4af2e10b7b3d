#include "capi/text.h"

const char* llmcore_text_data(const llmcore_text* text) {
  return text == nullptr ? "" : text->value.c_str();
}

size_t llmcore_text_size(const llmcore_text* text) {
  return text == nullptr ? 0 : text->value.size();
}

void llmcore_text_destroy(llmcore_text* text) {
  delete text;
}

const llmcore_token* llmcore_tokens_data(const llmcore_tokens* tokens) {
  return tokens == nullptr ? nullptr : tokens->value.data();
}

size_t llmcore_tokens_size(const llmcore_tokens* tokens) {
  return tokens == nullptr ? 0 : tokens->value.size();
}

void llmcore_tokens_destroy(llmcore_tokens* tokens) {
  delete tokens;
}
