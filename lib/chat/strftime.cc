#include "lib/chat/strftime.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace llmcore::core::chat {
namespace {

constexpr absl::string_view kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
constexpr absl::string_view kMonths[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};

struct CivilTime {
  int64_t year;
  int month;        // 1 to 12
  int day;          // 1 to 31
  int day_of_year;  // 1 to 366
  int weekday;      // 0 is Sunday
  int hour, minute, second;
};

bool IsLeapYear(int64_t year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

// Days since 1970 -> date, by counting in eras of 400 years that start on a 1 March.
CivilTime ToCivilTime(int64_t unix_seconds) {
  int64_t days = unix_seconds / 86400;
  int64_t rest = unix_seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  CivilTime time{};
  time.hour = static_cast<int>(rest / 3600);
  time.minute = static_cast<int>(rest / 60 % 60);
  time.second = static_cast<int>(rest % 60);
  time.weekday = static_cast<int>(((days + 4) % 7 + 7) % 7);
  const int64_t shifted = days + 719468;  // since 0000-03-01
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  const int64_t day_of_era = shifted - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_from_march =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_from_march = (5 * day_from_march + 2) / 153;
  time.day = static_cast<int>(day_from_march - (153 * month_from_march + 2) / 5 + 1);
  time.month =
      static_cast<int>(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
  time.year = year_of_era + era * 400 + (time.month <= 2 ? 1 : 0);
  constexpr int kDaysBefore[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  time.day_of_year =
      kDaysBefore[time.month - 1] + time.day + (time.month > 2 && IsLeapYear(time.year) ? 1 : 0);
  return time;
}

// Week of the ISO year and that year.
std::pair<int, int64_t> IsoWeek(const CivilTime& time) {
  const int weekday = (time.weekday + 6) % 7;  // 0 is Monday
  const int week = (time.day_of_year - 1 - weekday + 10) / 7;
  const auto weeks_in = [](int64_t year) {
    const auto last_weekday = [](int64_t y) { return (y + y / 4 - y / 100 + y / 400) % 7; };
    return last_weekday(year) == 4 || last_weekday(year - 1) == 3 ? 53 : 52;
  };
  if (week < 1) return {weeks_in(time.year - 1), time.year - 1};
  if (week > weeks_in(time.year)) return {1, time.year + 1};
  return {week, time.year};
}

absl::Status AppendDirective(char directive, bool padded, const CivilTime& time,
                             int64_t unix_seconds, std::string* out) {
  const auto number = [&](int64_t value, int width) {
    absl::StrAppend(out, padded ? absl::StrFormat("%0*d", width, value) : absl::StrCat(value));
    return absl::OkStatus();
  };
  const auto text = [&](absl::string_view value) {
    absl::StrAppend(out, value);
    return absl::OkStatus();
  };
  const auto all = [&](absl::string_view directives) -> absl::Status {
    for (const char c : directives) {
      if (c == ' ' || c == ':' || c == '/' || c == '-') {
        out->push_back(c);
        continue;
      }
      LLMCORE_RETURN_IF_ERROR(AppendDirective(c, true, time, unix_seconds, out));
    }
    return absl::OkStatus();
  };
  const int hour12 = time.hour % 12 == 0 ? 12 : time.hour % 12;
  switch (directive) {
    case 'a':
      return text(kDays[time.weekday].substr(0, 3));
    case 'A':
      return text(kDays[time.weekday]);
    case 'b':
    case 'h':
      return text(kMonths[time.month - 1].substr(0, 3));
    case 'B':
      return text(kMonths[time.month - 1]);
    case 'c':
      return all("a b e H:M:S Y");
    case 'C':
      return number(time.year / 100, 2);
    case 'd':
      return number(time.day, 2);
    case 'D':
    case 'x':
      return all("m/d/y");
    case 'e':
      return text(padded ? absl::StrFormat("%2d", time.day) : absl::StrCat(time.day));
    case 'f':
      return text("000000");
    case 'F':
      return all("Y-m-d");
    case 'G':
      return number(IsoWeek(time).second, 1);
    case 'H':
      return number(time.hour, 2);
    case 'I':
      return number(hour12, 2);
    case 'j':
      return number(time.day_of_year, 3);
    case 'k':
      return text(padded ? absl::StrFormat("%2d", time.hour) : absl::StrCat(time.hour));
    case 'l':
      return text(padded ? absl::StrFormat("%2d", hour12) : absl::StrCat(hour12));
    case 'm':
      return number(time.month, 2);
    case 'M':
      return number(time.minute, 2);
    case 'n':
      return text("\n");
    case 'p':
      return text(time.hour < 12 ? "AM" : "PM");
    case 'r':
      return all("I:M:S p");
    case 'R':
      return all("H:M");
    case 's':
      return number(unix_seconds, 1);
    case 'S':
      return number(time.second, 2);
    case 't':
      return text("\t");
    case 'T':
    case 'X':
      return all("H:M:S");
    case 'u':
      return number(time.weekday == 0 ? 7 : time.weekday, 1);
    case 'U':
      return number((time.day_of_year + 6 - time.weekday) / 7, 2);
    case 'V':
      return number(IsoWeek(time).first, 2);
    case 'w':
      return number(time.weekday, 1);
    case 'W':
      return number((time.day_of_year + 6 - (time.weekday + 6) % 7) / 7, 2);
    case 'y':
      return number(time.year % 100, 2);
    case 'Y':
      return number(time.year, 1);
    case 'z':
    case 'Z':  // Python's naive datetimes have no zone to show
      return absl::OkStatus();
    case '%':
      return text("%");
    default:
      return absl::UnimplementedError(
          absl::StrCat("the time format %", absl::string_view(&directive, 1), " is not supported"));
  }
}

}  // namespace

absl::StatusOr<std::string> FormatTime(absl::string_view format, int64_t unix_seconds) {
  constexpr int64_t kLastSecond = 253402300799;  // of the year 9999
  if (unix_seconds < 0 || unix_seconds > kLastSecond) {
    return absl::InvalidArgumentError("the time is not between the years 1970 and 9999");
  }
  const CivilTime time = ToCivilTime(unix_seconds);
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out.push_back(format[i]);
      continue;
    }
    bool padded = true;
    ++i;
    if (i < format.size() && format[i] == '-') {
      padded = false;
      ++i;
    }
    if (i >= format.size()) {
      return absl::InvalidArgumentError("the time format ends after a '%'");
    }
    LLMCORE_RETURN_IF_ERROR(AppendDirective(format[i], padded, time, unix_seconds, &out));
  }
  return out;
}

}  // namespace llmcore::core::chat
