// Lines through libedit; without it nullptr, and LineEditor reads them plainly.
#include "line_source.h"

#ifdef LLMCORE_EXAMPLES_HAVE_LIBEDIT

#include <histedit.h>
#include <langinfo.h>
#include <locale.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <cwchar>
#include <string_view>

#include "terminal.h"

namespace examples {
namespace {

std::string ToUtf8(std::wstring_view text) {  // in the process's locale, which is UTF-8 here
  std::string bytes;
  std::mbstate_t state{};
  for (const wchar_t c : text) {
    char encoded[MB_LEN_MAX];
    const size_t count = std::wcrtomb(encoded, c, &state);
    if (count != static_cast<size_t>(-1)) bytes.append(encoded, count);
  }
  return bytes;
}

std::wstring ToWide(const std::string& text) {
  std::wstring wide;
  std::mbstate_t state{};
  for (const char *at = text.data(), *end = at + text.size(); at < end;) {
    wchar_t c = 0;
    const size_t count = std::mbrtowc(&c, at, static_cast<size_t>(end - at), &state);
    if (count == 0 || count > text.size()) break;
    wide.push_back(c);
    at += count;
  }
  return wide;
}

// libedit's loop over keys, with characters read here so that it can be interrupted.
class EditingSource : public LineSource {
 public:
  explicit EditingSource(const std::string& program) {
    // Bytes become characters by the locale; a machine that has none set means UTF-8 these days.
    setlocale(LC_CTYPE, "");
    if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
    edit_ = el_init(program.c_str(), stdin, stdout, stderr);
    history_ = history_winit();
    HistEventW event;
    history_w(history_, &event, H_SETSIZE, 1000);
    history_w(history_, &event, H_SETUNIQUE, 1);
    el_wset(edit_, EL_CLIENTDATA, this);
    el_wset(edit_, EL_EDITOR, L"emacs");
    el_wset(edit_, EL_HIST, history_w, history_);
    el_wset(edit_, EL_PROMPT_ESC, &EditingSource::Prompt, L'\1');
    el_wset(edit_, EL_GETCFN, &EditingSource::ReadCharacter);
    el_wset(edit_, EL_SIGNAL, 1);  // Ctrl-Z and a new window size draw the line again
    el_wset(edit_, EL_ADDFN, L"llmcore-paste", L"insert lines", &EditingSource::PasteKey);
    el_wset(edit_, EL_BIND, L"^R", L"em-inc-search-prev", nullptr);
    el_source(edit_, nullptr);  // ~/.editrc
    el_wset(edit_, EL_BIND, L"\\e[200~", L"llmcore-paste", nullptr);
  }
  ~EditingSource() override {
    history_wend(history_);
    el_end(edit_);
  }

  LineEditor::Outcome Read(const std::string& prompt, std::string* line) override {
    prompt_ = ToWide(prompt);
    interrupted_ = false;
    el_wset(edit_, EL_PREP_TERM, 1);  // before the prompt: a key may follow it at once
    AnnouncePastes(true);
    int count = 0;
    const wchar_t* typed = el_wgets(edit_, &count);
    AnnouncePastes(false);
    if (interrupted_) return LineEditor::Outcome::kInterrupted;
    if (typed == nullptr || count <= 0) return LineEditor::Outcome::kEnd;
    std::wstring_view text(typed, static_cast<size_t>(count));
    if (text.back() == L'\n') text.remove_suffix(1);
    *line = ToUtf8(text);
    if (!text.empty()) {
      HistEventW event;
      history_w(history_, &event, H_ENTER, std::wstring(text).c_str());
    }
    return LineEditor::Outcome::kLine;
  }

 private:
  static EditingSource* Self(EditLine* edit) {
    void* self = nullptr;
    el_wget(edit, EL_CLIENTDATA, &self);
    return static_cast<EditingSource*>(self);
  }

  static wchar_t* Prompt(EditLine* edit) { return Self(edit)->prompt_.data(); }

  // 1: a character; 0: no more.
  static int ReadCharacter(EditLine* edit, wchar_t* character) {
    EditingSource* self = Self(edit);
    std::mbstate_t state{};
    for (;;) {
      if (!self->WaitForInput()) {
        self->interrupted_ = true;
        std::fputs("^C\n", stdout);
        return 0;
      }
      char byte = 0;
      const ssize_t count = read(STDIN_FILENO, &byte, 1);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return 0;
      const size_t length = std::mbrtowc(character, &byte, 1, &state);
      if (length <= 1) return 1;
      if (length == static_cast<size_t>(-1)) state = {};  // not UTF-8: dropped
    }
  }

  // The terminal marks a paste by ESC [200~ and ESC [201~ when asked to, so that newlines in it are
  // text instead of the end of the message.
  static void AnnouncePastes(bool on) {
    std::fputs(on ? "\x1b[?2004h" : "\x1b[?2004l", stdout);
    std::fflush(stdout);
  }

  static unsigned char PasteKey(EditLine* edit, wint_t) {
    static constexpr std::wstring_view kEnd = L"\x1b[201~";
    std::wstring text;
    wchar_t c = 0;
    while (el_wgetc(edit, &c) == 1) {
      text.push_back(c == L'\r' ? L'\n' : c);
      if (text.size() >= kEnd.size() && text.substr(text.size() - kEnd.size()) == kEnd) {
        text.resize(text.size() - kEnd.size());
        break;
      }
    }
    while (!text.empty() && text.back() == L'\n') text.pop_back();
    return !text.empty() && el_winsertstr(edit, text.c_str()) == 0 ? CC_REFRESH : CC_REFRESH_BEEP;
  }

  EditLine* edit_ = nullptr;
  HistoryW* history_ = nullptr;
  std::wstring prompt_;
  bool interrupted_ = false;
};

}  // namespace

std::unique_ptr<LineSource> MakeEditingSource(const std::string& program) {
  if (!CanRedraw(STDIN_FILENO) || !CanRedraw(STDOUT_FILENO)) return nullptr;
  return std::make_unique<EditingSource>(program);
}

}  // namespace examples

#else

namespace examples {

std::unique_ptr<LineSource> MakeEditingSource(const std::string&) {
  return nullptr;
}

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_HAVE_LIBEDIT
