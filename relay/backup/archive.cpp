// Entries of a backup; the format is told in the header.
#include "relay/backup/archive.hpp"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "relay/base/assert.hpp"
#include "relay/base/queue_id.hpp"
#include "relay/base/text.hpp"

namespace postern::backup {

namespace {

constexpr std::size_t head_bytes = 7;
constexpr std::size_t size_bytes = 8;
constexpr std::size_t count_bytes = 4;
constexpr std::size_t hash_digits = 64;
constexpr unsigned relay_user_bit = 1, relay_group_bit = 2;
constexpr unsigned mode_max = 0777;

std::unexpected<Error> damaged(std::string detail) {
  return fail(ErrorKind::corrupt, "read the backup's entries", std::move(detail));
}

void append_number(Bytes& to, std::uint64_t value, std::size_t octets) {
  for (std::size_t i = 0; i < octets; ++i) to.push_back(static_cast<std::byte>(value >> (8 * i)));
}

std::uint64_t number_in(ByteView from) {
  std::uint64_t value = 0;
  for (std::size_t i = from.size(); i-- > 0;)
    value = value << 8 | std::to_integer<std::uint64_t>(from[i]);
  return value;
}

bool is_plain_path(std::string_view path) {
  if (path.empty() || path.size() > entry_path_bytes_max || holds_control(path)) return false;
  if (!is_valid_utf8(path)) return false;
  std::size_t depth = 0;
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || ++depth > entry_path_depth_max) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool is_body(std::string_view path) {
  constexpr std::string_view folder = "spool/", ending = ".body";
  if (!path.starts_with(folder) || !path.ends_with(ending)) return false;
  if (path.size() < folder.size() + ending.size()) return false;
  path.remove_prefix(folder.size());
  path.remove_suffix(ending.size());
  const auto id = QueueId::parse(path);
  return id && id->text() == path;
}

bool belongs(const Entry& entry) {
  const std::string& path = entry.path;
  switch (entry.place) {
    case Place::about:
      return entry.kind == Kind::file && path == about_file;
    case Place::configuration:
      // What the command itself keeps there must not be overwritten by a name that looks like it.
      return !path.starts_with('.') && !path.starts_with("replaced-");
    case Place::authority:
      return entry.kind == Kind::file &&
             (path == "authority.crt" || path == "authority.key" || path == "identity");
    case Place::state:
      return entry.kind == Kind::folder
                 ? path == "spool"
                 : path == "queue.db" || path == "queue.key" || is_body(path);
  }
  return false;
}

}  // namespace

Result<> check_entry(const Entry& entry) {
  if (!is_plain_path(entry.path) || !belongs(entry)) {
    return fail(ErrorKind::invalid, "take an entry of a backup",
                "its name is none that a backup may hold");
  }
  if (entry.kind == Kind::end || entry.mode > mode_max || entry.size > entry_bytes_max ||
      (entry.kind == Kind::folder && entry.size != 0) ||
      (entry.place != Place::state && entry.size > small_entry_bytes_max)) {
    return fail(ErrorKind::invalid, "take " + entry.path, "its size or mode is absurd");
  }
  return {};
}

bool comes_before(const Entry& a, const Entry& b) {
  return std::tie(a.place, a.path) < std::tie(b.place, b.path);
}

// --- Writing

Result<> ArchiveWriter::begin(const Entry& entry, Bytes& plain) {
  if (auto good = check_entry(entry); !good) return good;
  POSTERN_ASSERT(left_ == 0 && !hash_ && (count_ == 0 || comes_before(last_, entry)));
  if (++count_ > entries_max) {
    return fail(ErrorKind::no_space, "make the backup",
                "there are more files than a backup can hold; let the queue become shorter");
  }
  append_number(plain, static_cast<std::uint64_t>(entry.kind), 1);
  append_number(plain, static_cast<std::uint64_t>(entry.place), 1);
  append_number(plain,
                (entry.relay_user ? relay_user_bit : 0) | (entry.relay_group ? relay_group_bit : 0),
                1);
  append_number(plain, entry.mode, 2);
  append_number(plain, entry.path.size(), 2);
  append(plain, as_bytes(entry.path));
  last_ = entry;
  if (entry.kind == Kind::folder) return {};
  append_number(plain, entry.size, size_bytes);
  left_ = entry.size;
  hash_ = std::make_unique<crypto::Sha256>();
  return {};
}

void ArchiveWriter::content(ByteView octets, Bytes& plain) {
  POSTERN_ASSERT(hash_ && octets.size() <= left_);
  left_ -= octets.size();
  hash_->update(octets);
  append(plain, octets);
}

Result<std::string> ArchiveWriter::end_file(Bytes& plain) {
  POSTERN_ASSERT(hash_);
  if (left_ != 0) {
    return fail(ErrorKind::io, "read " + last_.path, "it became shorter while it was read");
  }
  std::string hash = std::exchange(hash_, nullptr)->finish_hex();
  append(plain, as_bytes(hash));
  return hash;
}

void ArchiveWriter::finish(Bytes& plain) {
  POSTERN_ASSERT(left_ == 0 && !hash_);
  plain.resize(plain.size() + head_bytes);
  append_number(plain, count_, count_bytes);
}

// --- Reading

std::size_t ArchiveReader::wanted() const {
  switch (state_) {
    case State::head:
      return head_bytes;
    case State::path:
      return path_bytes_;
    case State::size:
      return size_bytes;
    case State::hash:
      return hash_digits;
    case State::count:
      return count_bytes;
    case State::content:
    case State::ended:
      break;
  }
  return 0;
}

Result<> ArchiveReader::read(ByteView plain) {
  while (true) {
    if (state_ == State::content) {
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, plain.size()));
      if (size > 0) {
        hash_->update(plain.first(size));
        if (auto done = sink_->content(plain.first(size)); !done) return done;
        plain = plain.subspan(size);
        left_ -= size;
      }
      if (left_ > 0) return {};
      state_ = State::hash;
    }
    if (plain.empty()) return {};
    if (state_ == State::ended) return damaged("there is more behind its end");
    const std::size_t size = std::min(wanted() - pending_.size(), plain.size());
    append(pending_, plain.first(size));
    plain = plain.subspan(size);
    if (pending_.size() < wanted()) return {};
    if (auto taken = take(); !taken) return taken;
    pending_.clear();
  }
}

Result<> ArchiveReader::take() {
  switch (state_) {
    case State::head:
      return take_head();
    case State::path:
      return take_path();
    case State::size:
      entry_.size = number_in(pending_);
      left_ = entry_.size;
      state_ = State::content;
      hash_ = std::make_unique<crypto::Sha256>();
      if (auto good = check_entry(entry_); !good) return good;
      return sink_->begin(entry_);
    case State::hash:
      return take_hash();
    case State::count:
      return take_count();
    case State::content:
    case State::ended:
      break;
  }
  POSTERN_ASSERT(false);
}

Result<> ArchiveReader::take_head() {
  const ByteView octets(pending_);
  const auto kind = number_in(octets.first(1)), place = number_in(octets.subspan(1, 1)),
             owner = number_in(octets.subspan(2, 1)), mode = number_in(octets.subspan(3, 2)),
             length = number_in(octets.subspan(5, 2));
  if (kind == static_cast<std::uint64_t>(Kind::end)) {
    if (place + owner + mode + length != 0) return damaged("its end is none");
    state_ = State::count;
    return {};
  }
  if (kind > static_cast<std::uint64_t>(Kind::file) ||
      place > static_cast<std::uint64_t>(Place::state) ||
      owner > (relay_user_bit | relay_group_bit) || length == 0 || length > entry_path_bytes_max) {
    return damaged("an entry begins with what is none");
  }
  if (++count_ > entries_max) return damaged("it holds more entries than a backup can");
  entry_ = {.kind = static_cast<Kind>(kind),
            .place = static_cast<Place>(place),
            .relay_user = (owner & relay_user_bit) != 0,
            .relay_group = (owner & relay_group_bit) != 0,
            .mode = static_cast<unsigned>(mode),
            .path = {},
            .size = 0};
  path_bytes_ = static_cast<std::size_t>(length);
  state_ = State::path;
  return {};
}

Result<> ArchiveReader::take_path() {
  entry_.path = as_text(pending_);
  if (auto good = check_entry(entry_); !good) return good;
  if (count_ > 1 && !comes_before(last_, entry_)) return damaged("its entries are out of order");
  last_ = entry_;
  if (entry_.kind == Kind::file) {
    state_ = State::size;
    return {};
  }
  state_ = State::head;
  return sink_->begin(entry_);
}

Result<> ArchiveReader::take_hash() {
  const std::string hash = std::exchange(hash_, nullptr)->finish_hex();
  if (as_text(pending_) != hash) return damaged("the hash of " + entry_.path + " is wrong");
  state_ = State::head;
  return sink_->end_file(hash);
}

Result<> ArchiveReader::take_count() {
  if (number_in(pending_) != count_) return damaged("it counts other entries than it holds");
  state_ = State::ended;
  return {};
}

Result<> ArchiveReader::finish() const {
  if (state_ != State::ended) return damaged("its end is missing");
  return {};
}

}  // namespace postern::backup
