#include "llmcore/llmcore.h"

extern "C" const char* llmcore_version(void) {
  return LLMCORE_VERSION;
}
