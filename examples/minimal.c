/* Asks a model one question: minimal MODEL_DIRECTORY QUESTION */
#include <llmcore/llmcore.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  const char* path = argc > 1 ? argv[1] : "examples/models/abacus";
  const char* question = argc > 2 ? argv[2] : "1.1+2.3=?";
  llmcore_model* model = NULL;
  llmcore_session* chat = NULL;
  llmcore_generation* reply = NULL;
  const llmcore_event* event = NULL;

  llmcore_error* error = llmcore_model_load(path, strlen(path), NULL, &model);
  if (!error) error = llmcore_session_create(model, &chat);
  if (!error) error = llmcore_session_append_message(chat, "user", 4, question, strlen(question));
  if (!error) error = llmcore_session_generate(chat, NULL, &reply);
  while (!error && !(error = llmcore_generation_next(reply, &event)) && event) {
    fwrite(llmcore_event_text(event), 1, llmcore_event_text_size(event), stdout);
    fflush(stdout);
  }
  putchar('\n');
  if (error) fprintf(stderr, "%s\n", llmcore_error_message(error));

  const int status = error ? 1 : 0;
  llmcore_error_destroy(error);
  llmcore_generation_destroy(reply);
  llmcore_session_destroy(chat);
  llmcore_model_destroy(model);
  return status;
}
