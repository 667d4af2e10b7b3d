// The values of a template, with Python's meaning, and the heap they live on.
//
// A rendering owns one Heap. Values are two words that point into it (or into the template and the
// variables, which outlive the rendering); nothing is freed before the rendering ends. So values
// copy for free, cycles through a namespace leak nothing, and no deep structure is ever destroyed
// recursively.
#ifndef LLMCORE_LIB_CHAT_VALUE_H_
#define LLMCORE_LIB_CHAT_VALUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace llmcore::core::chat {

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kView,       // dict.keys(), dict.values(), dict.items()
  kIterator,   // what a generator or reversed() is in Python: read once, no length
  kNamespace,  // the only value that a template can change
  kMacro,
  kFunction,  // a global function or a method with its object
  kLoop,      // `loop` inside a for
  kCycler,
  kJoiner,
};

struct Dict;
struct Range;
struct View;
struct Iterator;
struct Undefined;
struct Function;
class Namespace;
struct Macro;
struct Loop;
struct Cycler;
struct Joiner;

class Value {
 public:
  Value() = default;  // None

  static Value None() { return Value(); }
  static Value Bool(bool value);
  static Value Int(int64_t value);
  static Value Float(double value);
  // Borrowed text, less than 4 GiB, valid UTF-8. Markup is text that was marked as HTML (`safe`).
  static Value String(absl::string_view text, bool markup = false);
  static Value List(std::span<const Value> items) { return Items(Kind::kList, items); }
  static Value Tuple(std::span<const Value> items) { return Items(Kind::kTuple, items); }
  static Value Of(const Dict* dict) { return Value(Kind::kDict, dict); }
  static Value Of(const Range* range) { return Value(Kind::kRange, range); }
  static Value Of(const View* view) { return Value(Kind::kView, view); }
  static Value Of(Iterator* iterator) { return Value(Kind::kIterator, iterator); }
  static Value Of(const Undefined* undefined) { return Value(Kind::kUndefined, undefined); }
  static Value Of(const Function* function) { return Value(Kind::kFunction, function); }
  static Value Of(Namespace* space) { return Value(Kind::kNamespace, space); }
  static Value Of(const Macro* macro) { return Value(Kind::kMacro, macro); }
  static Value Of(Loop* loop) { return Value(Kind::kLoop, loop); }
  static Value Of(Cycler* cycler) { return Value(Kind::kCycler, cycler); }
  static Value Of(Joiner* joiner) { return Value(Kind::kJoiner, joiner); }

  Kind kind() const { return kind_; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_int() const { return kind_ == Kind::kInt; }
  bool is_dict() const { return kind_ == Kind::kDict; }
  bool is_sequence() const { return kind_ == Kind::kList || kind_ == Kind::kTuple; }
  // Python's bool is an int.
  bool is_integral() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }
  bool is_number() const { return is_integral() || kind_ == Kind::kFloat; }
  bool is_markup() const { return markup_; }

  // Each accessor is for values of its kind.
  bool as_bool() const { return payload_.integer != 0; }
  int64_t as_int() const { return payload_.integer; }  // kInt and kBool
  double as_float() const { return payload_.number; }
  double as_number() const {
    return kind_ == Kind::kFloat ? payload_.number : static_cast<double>(payload_.integer);
  }
  absl::string_view text() const { return {payload_.characters, size_}; }
  std::span<const Value> items() const {
    return {static_cast<const Value*>(payload_.object), size_};
  }
  const Dict& dict() const { return Get<const Dict>(); }
  const Range& range() const { return Get<const Range>(); }
  const View& view() const { return Get<const View>(); }
  Iterator& iterator() const { return Get<Iterator>(); }
  const Undefined& undefined() const { return Get<const Undefined>(); }
  const Function& function() const { return Get<const Function>(); }
  Namespace& name_space() const { return Get<Namespace>(); }
  const Macro& macro() const { return Get<const Macro>(); }
  Loop& loop() const { return Get<Loop>(); }
  Cycler& cycler() const { return Get<Cycler>(); }
  Joiner& joiner() const { return Get<Joiner>(); }

  // Python's `is`.
  bool IsSame(const Value& other) const;

 private:
  Value(Kind kind, const void* object) : kind_(kind) { payload_.object = object; }
  static Value Items(Kind kind, std::span<const Value> items);
  template <typename T>
  T& Get() const {
    return *static_cast<T*>(const_cast<void*>(payload_.object));
  }

  Kind kind_ = Kind::kNone;
  bool markup_ = false;
  uint32_t size_ = 0;  // bytes of a string, items of a list or tuple
  union {
    int64_t integer;
    double number;
    const char* characters;
    const void* object;
  } payload_ = {};
};
static_assert(sizeof(Value) == 16);

// Anything of a rendering that needs a destructor.
struct Owned {
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  virtual ~Owned() = default;
};

// Why a value is undefined, for the error when it is used.
struct Undefined {
  enum class Reason : uint8_t { kName, kMember, kUnsafe, kHint };
  Reason reason;
  Value object;  // kMember, kUnsafe: what was asked
  Value name;    // what it was asked for; for kHint the message
};

struct DictEntry {
  Value key;
  Value value;
};

// Immutable; keys are distinct and in insertion order.
struct Dict {
  std::span<const DictEntry> entries;
  // Open addressing over entries (index + 1, 0 is free), a power of two in size; empty for a small
  // dict, which is searched from the start.
  std::span<const uint32_t> table;

  // NULL when there is none. `key` is hashable.
  const Value* Find(const Value& key) const;
  const Value* Find(absl::string_view key) const { return Find(Value::String(key)); }
};

struct Range {
  int64_t start;
  int64_t stop;
  int64_t step;
  int64_t size() const;
};

struct View {
  enum class Part : uint8_t { kKeys, kValues, kItems };
  Part part;
  const Dict* dict;
};

struct Iterator {
  std::span<const Value> items;
  size_t position;
  const absl::Status* error;  // met after the last item; NULL when there is none
  absl::string_view type_name;
};

class Namespace : public Owned {
 public:
  const Value* Find(absl::string_view name) const;
  void Set(absl::string_view name, Value value);  // `name` outlives the rendering

 private:
  std::vector<std::pair<absl::string_view, Value>> members_;
};

struct Cycler : Owned {
  std::span<const Value> items;
  size_t position = 0;
};

struct Joiner : Owned {
  Value separator;
  bool used = false;
};

// Memory of one rendering. Everything is counted and nothing is freed early.
class Heap {
 public:
  explicit Heap(uint64_t max_bytes) : max_bytes_(max_bytes) {}
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  // RESOURCE_EXHAUSTED when `bytes` more would pass the limit. For what may be large; small
  // objects are only counted, and found by the next Check.
  absl::Status Check(uint64_t bytes = 0) const;

  absl::StatusOr<Value> CopyString(absl::string_view text, bool markup = false);
  absl::StatusOr<Value> CopyList(std::span<const Value> items);
  absl::StatusOr<Value> CopyTuple(std::span<const Value> items);
  // Later entries replace the values of earlier ones with an equal key. Keys are hashable.
  absl::StatusOr<Value> MakeDict(std::span<const DictEntry> entries);
  absl::StatusOr<Value> MakeIterator(std::span<const Value> items, absl::Status error,
                                     absl::string_view type_name = "generator");
  Value Pair(Value first, Value second);  // a tuple of two
  Value UndefinedName(absl::string_view name);
  Value UndefinedMember(Value object, Value name);
  Value UnsafeMember(Value object, Value name);
  Value UndefinedHint(absl::string_view constant_message);

  // A trivially destructible object.
  template <typename T>
  T* New(const T& value) {
    static_assert(std::is_trivially_destructible_v<T>);
    return new (Allocate(sizeof(T))) T(value);
  }
  // An object with a destructor, run at the end of the rendering.
  template <typename T, typename... Args>
  T* Own(Args&&... args) {
    used_ += sizeof(T);
    auto object = std::make_unique<T>(std::forward<Args>(args)...);
    T* const pointer = object.get();
    owned_.push_back(std::move(object));
    return pointer;
  }
  // `count` uninitialized objects of a trivial type; Check first.
  template <typename T>
  std::span<T> NewArray(size_t count) {
    return {static_cast<T*>(Allocate(count * sizeof(T))), count};
  }
  void Count(uint64_t bytes) { used_ += bytes; }
  uint64_t used() const { return used_; }

 private:
  void* Allocate(size_t bytes);  // aligned for any Value

  const uint64_t max_bytes_;
  uint64_t used_ = 0;
  char* next_ = nullptr;
  size_t left_ = 0;
  std::vector<std::unique_ptr<char[]>> blocks_;
  std::vector<std::unique_ptr<Owned>> owned_;
};

// Python's name of the type ("str", "NoneType", "dict_items").
absl::string_view TypeName(const Value& value);

// The error for using an undefined value: "'x' is undefined".
absl::Status UndefinedError(const Value& value);

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_VALUE_H_
