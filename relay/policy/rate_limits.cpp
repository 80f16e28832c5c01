// The buckets of all configured users: replies when one is empty, and one text line each for a
// restart.
//
// Promise: a refusal takes nothing. What can never fit a limit gets a permanent reply instead of a
// wait that would be a lie. Sharp edge: a name without buckets (removed by a reload, or our own
// reports) has no limit here; whether it may still send is the user directory's question.
#include "relay/policy/rate_limits.hpp"

#include <algorithm>
#include <utility>

#include "relay/base/text.hpp"

namespace postern::policy {
namespace {

constexpr Duration minute = std::chrono::minutes(1);
constexpr Duration day = std::chrono::hours(24);
constexpr std::size_t user_bytes_max = 128;  // of the name in a reply: its line has 512 octets
constexpr std::size_t saved_bytes_max =
    512;  // four fields of at most 40 octets; the rest is not ours
constexpr double saved_parts_per_token = 1000;

std::string shown(std::string_view user) {
  if (user.size() <= user_bytes_max) return std::string(user);
  return std::string(user.substr(0, user_bytes_max)) + "...";
}

// The limit's words in a reply: "30 messages a minute" and the setting that says so.
struct Words {
  std::uint16_t code;
  std::string_view amount;
  std::string_view setting;
};
constexpr Words message_words{450, "messages a minute", "messages_per_minute_max"};
constexpr Words recipient_words{452, "recipients a day", "recipients_per_day_max"};
constexpr Words byte_words{452, "octets a day", "bytes_per_day_max"};

smtp::Reply refuse(std::string_view user, const TokenBucket& bucket, const Words& words,
                   std::uint64_t tokens, Duration wait) {
  std::string text = "user " + shown(user);
  const std::string limit = std::to_string(bucket.tokens_max()) + " " + std::string(words.amount);
  if (tokens > bucket.tokens_max()) {
    text += " may send only " + limit + " and asked for " + std::to_string(tokens) +
            " at once; raise " + std::string(words.setting) + " in the relay's configuration";
    return smtp::make_reply(550, smtp::EnhancedStatus{5, 7, 1}, std::move(text));
  }
  text += " has reached its limit of " + limit + "; come back in " + format_duration(wait) +
          " or raise " + std::string(words.setting) + " in the relay's configuration";
  return smtp::make_reply(words.code, smtp::EnhancedStatus{4, 7, 1}, std::move(text));
}

std::optional<smtp::Reply> take(std::string_view user, std::optional<TokenBucket>& bucket,
                                const Words& words, std::uint64_t tokens, MonotonicTime now,
                                bool& changed) {
  if (!bucket) return std::nullopt;
  if (const auto wait = bucket->take(tokens, now)) {
    return refuse(user, *bucket, words, tokens, *wait);
  }
  changed = true;
  return std::nullopt;
}

// True when a level in use was changed: with another maximum its line in the store means another
// share.
bool configure_bucket(std::optional<TokenBucket>& bucket, std::optional<std::uint64_t> tokens_max,
                      Duration period, MonotonicTime now) {
  if (!tokens_max) {
    bucket.reset();
    return false;
  }
  if (bucket && bucket->tokens_max() == *tokens_max) return false;
  TokenBucket fresh(*tokens_max, period, now);
  const bool in_use = bucket.has_value();
  if (in_use) fresh.set_level(bucket->level(now), now);
  bucket = fresh;
  return in_use;
}

void save_bucket(std::string& line, std::string_view name, const std::optional<TokenBucket>& bucket,
                 MonotonicTime now) {
  if (!bucket) return;
  const double parts = bucket->level(now) * saved_parts_per_token;
  // 2^63 as a limit: a conversion beyond the type's range is undefined.
  constexpr double parts_max = 9.2e18;
  line += " " + std::string(name) + "=" +
          std::to_string(static_cast<std::uint64_t>(std::min(parts, parts_max)));
}

// The value of "name=" in a line of words parted by spaces.
template <class Number>
std::optional<Number> saved_number(std::string_view line, std::string_view name) {
  while (!line.empty()) {
    const std::size_t end = std::min(line.find(' '), line.size());
    std::string_view word = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    if (!word.starts_with(name)) continue;
    word.remove_prefix(name.size());
    if (word.starts_with('=')) return parse_decimal<Number>(word.substr(1));
  }
  return std::nullopt;
}

// What the wall clock says the relay was away; nothing of it when the clock was set back.
double milliseconds_away(std::optional<std::int64_t> saved, WallTime now) {
  const std::int64_t now_count = now.time_since_epoch().count();
  if (!saved || now_count <= *saved) return 0;
  return static_cast<double>(static_cast<std::uint64_t>(now_count) -
                             static_cast<std::uint64_t>(*saved));
}

void restore_bucket(std::optional<TokenBucket>& bucket, std::string_view line,
                    std::string_view name, Duration period, Now now) {
  const auto parts = saved_number<std::uint64_t>(line, name);
  if (!bucket || !parts) return;
  const double away = milliseconds_away(saved_number<std::int64_t>(line, "wall"), now.wall);
  const double refilled =
      away / static_cast<double>(period.count()) * static_cast<double>(bucket->tokens_max());
  bucket->set_level(static_cast<double>(*parts) / saved_parts_per_token + refilled, now.monotonic);
}

}  // namespace

void RateLimits::configure(const UserDirectory& users, MonotonicTime now) {
  std::erase_if(users_, [&](const auto& entry) { return !users.contains(entry.first); });
  for (const auto& [name, user] : users) {
    Buckets& buckets = users_[name];
    for (const bool changed :
         {configure_bucket(buckets.messages, user.rates.messages_per_minute_max, minute, now),
          configure_bucket(buckets.recipients, user.rates.recipients_per_day_max, day, now),
          configure_bucket(buckets.bytes, user.rates.bytes_per_day_max, day, now)}) {
      buckets.changed = buckets.changed || changed;
    }
  }
}

std::optional<smtp::Reply> RateLimits::take_message(std::string_view user,
                                                    std::uint64_t declared_bytes,
                                                    MonotonicTime now) {
  const auto found = users_.find(user);
  if (found == users_.end()) return std::nullopt;
  Buckets& buckets = found->second;
  if (buckets.bytes) {
    // A size that is not known is at least one octet: a day that is used up is told now and not
    // after the whole upload.
    const std::uint64_t bytes = std::max<std::uint64_t>(declared_bytes, 1);
    if (const auto wait = buckets.bytes->peek(bytes, now)) {
      return refuse(user, *buckets.bytes, byte_words, bytes, *wait);
    }
  }
  return take(user, buckets.messages, message_words, 1, now, buckets.changed);
}

std::optional<smtp::Reply> RateLimits::take_recipient(std::string_view user, MonotonicTime now) {
  const auto found = users_.find(user);
  if (found == users_.end()) return std::nullopt;
  return take(user, found->second.recipients, recipient_words, 1, now, found->second.changed);
}

std::optional<smtp::Reply> RateLimits::take_bytes(std::string_view user, std::uint64_t bytes,
                                                  MonotonicTime now) {
  const auto found = users_.find(user);
  if (found == users_.end()) return std::nullopt;
  return take(user, found->second.bytes, byte_words, bytes, now, found->second.changed);
}

std::string RateLimits::save(std::string_view user, Now now) const {
  const auto found = users_.find(user);
  if (found == users_.end()) return {};
  std::string line = "wall=" + std::to_string(now.wall.time_since_epoch().count());
  save_bucket(line, "messages", found->second.messages, now.monotonic);
  save_bucket(line, "recipients", found->second.recipients, now.monotonic);
  save_bucket(line, "bytes", found->second.bytes, now.monotonic);
  return line;
}

void RateLimits::restore(std::string_view user, std::string_view saved, Now now) {
  const auto found = users_.find(user);
  if (found == users_.end() || saved.size() > saved_bytes_max) return;
  restore_bucket(found->second.messages, saved, "messages", minute, now);
  restore_bucket(found->second.recipients, saved, "recipients", day, now);
  restore_bucket(found->second.bytes, saved, "bytes", day, now);
}

std::vector<std::string> RateLimits::changed_users() const {
  std::vector<std::string> names;
  for (const auto& [name, buckets] : users_) {
    if (buckets.changed) names.push_back(name);
  }
  return names;
}

void RateLimits::forget_changes() {
  for (auto& [name, buckets] : users_) buckets.changed = false;
}

}  // namespace postern::policy
