// The spool folder; see spool.hpp.
#include "storage/spool.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace postern::storage {

namespace {

constexpr std::string_view partial_suffix = ".partial";
constexpr std::string_view body_suffix = ".body";

}  // namespace

Spool::~Spool() {
  while (!writing_.empty()) discard(writing_.begin()->first);
}

std::string Spool::partial_path(std::uint64_t token) const {
  return fmt::format("{}/{}{}", folder_, token, partial_suffix);
}

std::string Spool::body_path(QueueId id) const {
  return fmt::format("{}/{}{}", folder_, id.text(), body_suffix);
}

Result<> Spool::append(std::uint64_t token, ByteView sealed) {
  const std::string path = partial_path(token);
  auto found = writing_.find(token);
  if (found == writing_.end()) {
    if (writing_.size() >= spool_files_open_max) {
      return fail(ErrorKind::busy, "write " + path,
                  fmt::format("{} large messages are being received already; try again later",
                              spool_files_open_max));
    }
    const int fd = files_->create(path);
    if (fd < 0) return fail_errno("make " + path, -fd);
    found = writing_.emplace(token, Writing{FileDescriptor(fd), 0, std::nullopt}).first;
  }
  Writing& writing = found->second;
  if (writing.failed) return std::unexpected(*writing.failed);
  while (!sealed.empty()) {
    const std::int64_t written = files_->write(writing.file.get(), sealed);
    if (written <= 0) {
      // Part of it may be on disk: this file can never be a message. Its room is given back at
      // once.
      Result<> failure =
          fail_errno("write " + path, written == 0 ? EIO : static_cast<int>(-written));
      writing.failed = failure.error();
      writing.file.reset();
      static_cast<void>(files_->unlink(path));
      return failure;
    }
    sealed = sealed.subspan(static_cast<std::size_t>(written));
    writing.bytes += static_cast<std::uint64_t>(written);
  }
  return {};
}

void Spool::discard(std::uint64_t token) {
  if (writing_.erase(token) == 0) return;
  static_cast<void>(files_->unlink(partial_path(token)));
}

std::uint64_t Spool::written_bytes(std::uint64_t token) const {
  const auto found = writing_.find(token);
  return found == writing_.end() ? 0 : found->second.bytes;
}

Result<> Spool::keep(std::uint64_t token, QueueId id, bool& sync_failed) {
  sync_failed = false;
  const std::string from = partial_path(token);
  const auto found = writing_.find(token);
  if (found == writing_.end()) {
    return fail(ErrorKind::not_found, "keep " + from, "no octets were written under this token");
  }
  if (found->second.failed) return std::unexpected(*found->second.failed);
  if (const int code = files_->sync(found->second.file.get()); code < 0) {
    sync_failed = true;
    return fail_errno("sync " + from, -code);
  }
  const std::string to = body_path(id);
  if (const int code = files_->rename(from, to); code < 0) {
    return fail_errno("rename " + from + " to " + to, -code);
  }
  writing_.erase(found);
  return {};
}

Result<> Spool::sync_folder() {
  if (const int code = files_->sync_folder(folder_); code < 0) {
    return fail_errno("sync " + folder_, -code);
  }
  return {};
}

void Spool::remove(QueueId id) { static_cast<void>(files_->unlink(body_path(id))); }

Result<Bytes> Spool::read(QueueId id, std::uint64_t offset, std::size_t bytes_max) const {
  const std::string path = body_path(id);
  const int fd = files_->open_for_reading(path);
  const FileDescriptor file(fd);
  if (!file) {
    if (fd != -ENOENT) return fail_errno("open " + path, -fd);
    return fail(ErrorKind::corrupt, "open " + path,
                "the body of this message is gone; ask the sender to send it again");
  }
  Bytes octets(std::min(bytes_max, spool_read_bytes_max));
  std::size_t filled = 0;
  while (filled < octets.size()) {
    const std::int64_t got =
        files_->read_at(file.get(), offset + filled, std::span(octets).subspan(filled));
    if (got < 0) return fail_errno("read " + path, static_cast<int>(-got));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  octets.resize(filled);
  return octets;
}

Result<std::optional<std::uint64_t>> Spool::size(QueueId id) const {
  const std::string path = body_path(id);
  const std::int64_t octets = files_->size(path);
  if (octets >= 0) return static_cast<std::uint64_t>(octets);
  if (octets == -ENOENT || octets == -EINVAL) return std::nullopt;
  return fail_errno("examine " + path, static_cast<int>(-octets));
}

Result<std::uint64_t> Spool::sweep(const std::function<Result<bool>(QueueId)>& wanted) {
  std::vector<std::string> names;
  if (const int code = files_->list(folder_, names); code < 0) {
    return fail_errno("list " + folder_, -code);
  }
  std::vector<std::string> unwanted;
  for (const std::string& entry : names) {
    const std::string_view name = entry;
    if (name.ends_with(partial_suffix)) {
      unwanted.emplace_back(name);
    } else if (name.ends_with(body_suffix)) {
      const std::optional<QueueId> id =
          QueueId::parse(name.substr(0, name.size() - body_suffix.size()));
      // A name that only reads like an id (lower case) is not one we wrote.
      bool keep = false;
      if (id && body_path(*id).ends_with(name)) {
        const Result<bool> answer = wanted(*id);
        if (!answer) return std::unexpected(answer.error());
        keep = *answer;
      }
      if (!keep) unwanted.emplace_back(name);
    }
  }
  std::uint64_t swept = 0;
  for (const std::string& name : unwanted) {
    const std::string path = folder_ + "/" + name;
    if (const int code = files_->unlink(path); code < 0) return fail_errno("remove " + path, -code);
    ++swept;
  }
  return swept;
}

}  // namespace postern::storage
