// Sessions as files; saved_session.md is the format.
#ifndef LLMCORE_LIB_SESSION_SAVED_SESSION_H_
#define LLMCORE_LIB_SESSION_SAVED_SESSION_H_

#include <string>
#include <vector>

#include "lib/base/status.h"
#include "lib/kv/kv_sequence.h"
#include "lib/session/conversation.h"
#include "lib/session/model.h"

namespace llmcore::core {

struct SavedSession {
  std::vector<TokenId> tokens;
  Conversation conversation;
  bool was_conversation = false;
};

absl::Status SaveSession(const Model& model, const SavedSession& session,
                         const KvSequence& sequence, const std::string& path);

// `sequence` is empty; it gets the stored blocks. DATA_LOSS for a file that is damaged,
// FAILED_PRECONDITION for one of another model.
absl::StatusOr<SavedSession> RestoreSession(const Model& model, const std::string& path,
                                            KvSequence* sequence);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_SAVED_SESSION_H_
