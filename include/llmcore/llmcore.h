#ifndef LLMCORE_LLMCORE_H_
#define LLMCORE_LLMCORE_H_
#define LLMCORE_VERSION "0.1.0"
#define LLMCORE_API __attribute__((visibility("default")))
#ifdef __cplusplus
extern "C" {
#endif
LLMCORE_API const char* llmcore_version(void);
#ifdef __cplusplus
}
#endif
#endif
