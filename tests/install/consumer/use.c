/* use MODEL_DIRECTORY: prints the reply to one sum. */
#include <llmcore/llmcore.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  llmcore_model* model = NULL;
  llmcore_session* session = NULL;
  llmcore_generation* reply = NULL;
  const llmcore_event* event = NULL;
  if (argc != 2 || strcmp(llmcore_version(), LLMCORE_VERSION) != 0) return 2;
  llmcore_error* error = llmcore_model_load(argv[1], strlen(argv[1]), NULL, &model);
  if (!error) error = llmcore_session_create(model, &session);
  if (!error) error = llmcore_session_append_message(session, "user", 4, "1.1+2.3=?", 9);
  if (!error) error = llmcore_session_generate(session, NULL, &reply);
  while (!error && !(error = llmcore_generation_next(reply, &event)) && event) {
    fputs(llmcore_event_text(event), stdout);
  }
  printf("\n%s", llmcore_error_message(error));
  const int status = error ? 1 : 0;
  llmcore_error_destroy(error);
  llmcore_generation_destroy(reply);
  llmcore_session_destroy(session);
  llmcore_model_destroy(model);
  return status;
}
