// Writing, reading back and reading backups; see the header.
#include "relay/backup/backup_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "crypto/random.hpp"
#include "crypto/sealed_body.hpp"
#include "crypto/sealed_file.hpp"

namespace postern::backup {

namespace {

constexpr std::size_t sealed_chunk_bytes = crypto::seal_chunk_bytes + crypto::seal_overhead_bytes;
// Of an entry beside its path and its content; more than enough.
constexpr std::uint64_t entry_overhead_bytes = 128;

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<std::size_t> read_some(const FileDescriptor& file, const std::string& path,
                              std::span<std::byte> into) {
  while (true) {
    const ssize_t count = ::read(file.get(), into.data(), into.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return fail_errno("read " + path, errno);
  }
}

// Fills it unless the file ends before.
Result<std::size_t> read_full(const FileDescriptor& file, const std::string& path,
                              std::span<std::byte> into) {
  std::size_t filled = 0;
  while (filled < into.size()) {
    const auto count = read_some(file, path, into.subspan(filled));
    if (!count) return count;
    if (*count == 0) break;
    filled += *count;
  }
  return filled;
}

// The file under its temporary name: gone unless it was kept.
class Unfinished {
 public:
  static Result<Unfinished> create(const std::string& file) {
    struct stat facts{};
    if (::lstat(file.c_str(), &facts) == 0) {
      return fail(ErrorKind::exists, "write " + file,
                  "it is there already; name another file, or take it away");
    }
    std::string path = file + ".part-" + crypto::random_hex(4);
    FileDescriptor opened(
        ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!opened) return fail_errno("make " + path, errno);
    return Unfinished(std::move(path), std::move(opened));
  }
  Unfinished(Unfinished&& other) noexcept
      : path_(std::exchange(other.path_, {})), file_(std::move(other.file_)) {}
  Unfinished& operator=(Unfinished&&) = delete;
  ~Unfinished() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const FileDescriptor& file() const { return file_; }

  Result<> write(ByteView octets) {
    while (!octets.empty()) {
      const ssize_t count = ::write(file_.get(), octets.data(), octets.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail_errno("write " + path_, errno);
      octets = octets.subspan(static_cast<std::size_t>(count));
      bytes_ += static_cast<std::uint64_t>(count);
    }
    return {};
  }
  // On the medium, and forgotten by the cache, so that reading it asks the medium.
  Result<> sync() {
    if (::fsync(file_.get()) != 0) return fail_errno("sync " + path_, errno);
    static_cast<void>(::posix_fadvise(file_.get(), 0, 0, POSIX_FADV_DONTNEED));
    return {};
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  Result<> keep(const std::string& name) {
    int done = ::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, name.c_str(), RENAME_NOREPLACE);
    // A file system that knows no such renaming; that nothing was there was asked at the start.
    if (done != 0 && errno == EINVAL) done = ::rename(path_.c_str(), name.c_str());
    if (done != 0) return fail_errno("rename " + path_ + " to " + name, errno);
    path_.clear();
    return sync_directory(directory_of(name));
  }

 private:
  Unfinished(std::string path, FileDescriptor file)
      : path_(std::move(path)), file_(std::move(file)) {}
  std::string path_;
  FileDescriptor file_;
  std::uint64_t bytes_ = 0;
};

struct Noted {
  Entry entry;
  std::string hash;  // empty for a folder
};

class Writing {
 public:
  Writing(Unfinished& to, const Secret& key, const std::function<bool()>& interrupted)
      : to_(&to), seal_(key), interrupted_(&interrupted) {
    // Room at once: a vector that grows leaves unwiped copies behind.
    plain_.reserve(crypto::seal_chunk_bytes + 2 * entry_path_bytes_max);
  }
  ~Writing() { wipe(plain_); }

  Result<> add(const Source& source) {
    if (auto begun = archive_.begin(source.entry, plain_); !begun) return begun;
    std::string hash;
    if (source.entry.kind == Kind::file) {
      auto done = source.tree == nullptr ? take(as_bytes(source.text)) : take_file(source);
      if (!done) return done;
      auto ended = archive_.end_file(plain_);
      if (!ended) return std::unexpected(ended.error());
      hash = std::move(*ended);
    }
    noted_.push_back({source.entry, std::move(hash)});
    return flush();
  }
  Result<std::vector<Noted>> finish() {
    archive_.finish(plain_);
    Bytes sealed;
    seal_.write(plain_, sealed);
    seal_.finish(sealed);
    if (auto written = to_->write(sealed); !written) return std::unexpected(written.error());
    return std::move(noted_);
  }

 private:
  Result<> take(ByteView octets) {
    archive_.content(octets, plain_);
    return flush();
  }
  Result<> take_file(const Source& source) {
    const std::string path = source.tree->path_of(source.path);
    const auto file = source.tree->open_file(source.path);
    if (!file) return std::unexpected(file.error());
    Secret piece = Secret::of_size(crypto::seal_chunk_bytes);  // it may be a key
    for (std::uint64_t left = source.entry.size;;) {
      if ((*interrupted_)()) return fail(ErrorKind::busy, "make the backup", "it was interrupted");
      const auto count = read_some(*file, path, piece.writable());
      if (!count) return std::unexpected(count.error());
      if (*count == 0) return {};
      if (*count > left)
        return fail(ErrorKind::io, "read " + path, "it became longer while it was read");
      left -= *count;
      if (auto taken = take(piece.view().first(*count)); !taken) return taken;
    }
  }
  Result<> flush() {
    Bytes sealed;
    seal_.write(plain_, sealed);
    wipe(plain_);
    plain_.clear();
    return to_->write(sealed);
  }

  Unfinished* to_;
  crypto::SealWriter seal_;
  const std::function<bool()>* interrupted_;
  ArchiveWriter archive_;
  Bytes plain_;
  std::vector<Noted> noted_;
};

// What is read back must be what was noted, in the same order.
class Comparison final : public ArchiveSink {
 public:
  Comparison(const std::vector<Noted>& noted, const std::function<bool()>& interrupted)
      : noted_(&noted), interrupted_(&interrupted) {}
  Result<> begin(const Entry& entry) override {
    if (at_ == noted_->size()) return differs("it holds more than was written");
    const Noted& expected = (*noted_)[at_];
    const Entry& wanted = expected.entry;
    if (entry.kind != wanted.kind || entry.place != wanted.place || entry.path != wanted.path ||
        entry.size != wanted.size || entry.mode != wanted.mode) {
      return differs("an entry is not what was written");
    }
    if (entry.kind == Kind::folder) ++at_;
    return {};
  }
  Result<> content(ByteView) override {
    if ((*interrupted_)())
      return fail(ErrorKind::busy, "read the backup back", "it was interrupted");
    return {};
  }
  Result<> end_file(std::string_view hash) override {
    if ((*noted_)[at_++].hash != hash) return differs("an entry holds other octets");
    return {};
  }
  [[nodiscard]] Result<> all_found() const {
    return at_ == noted_->size() ? Result<>() : differs("it holds less than was written");
  }

 private:
  static std::unexpected<Error> differs(const char* how) {
    return fail(ErrorKind::corrupt, "read the backup back",
                std::string(how) + "; try another medium");
  }
  const std::vector<Noted>* noted_;
  const std::function<bool()>* interrupted_;
  std::size_t at_ = 0;
};

Result<> require_room(const std::string& file, const std::vector<Source>& sources) {
  std::uint64_t needed = crypto::sealed_file_head_bytes + sealed_chunk_bytes;
  for (const Source& source : sources)
    needed += source.entry.size + source.entry.path.size() + entry_overhead_bytes;
  needed += needed / crypto::seal_chunk_bytes * crypto::seal_overhead_bytes;
  struct statvfs facts{};
  const std::string directory = directory_of(file);
  if (::statvfs(directory.c_str(), &facts) != 0)
    return fail_errno("measure the free room of " + directory, errno);
  const std::uint64_t free = std::uint64_t{facts.f_bavail} * facts.f_frsize;
  if (free >= needed) return {};
  return fail(ErrorKind::no_space, "write " + file,
              fmt::format("the backup takes {} octets, and {} are free there; use a larger medium",
                          needed, free));
}

Result<> read_from(const FileDescriptor& file, const std::string& path, const Secret& passphrase,
                   ArchiveSink& sink) {
  Bytes head(crypto::sealed_file_head_bytes);
  const auto got = read_full(file, path, head);
  if (!got) return std::unexpected(got.error());
  head.resize(*got);
  const auto key = crypto::open_sealed_file(head, passphrase);
  if (!key) return std::unexpected(key.error());
  crypto::SealReader seal(*key);
  ArchiveReader archive(sink);
  Bytes sealed(crypto::seal_header_bytes), plain;
  plain.reserve(sealed_chunk_bytes);
  const auto open_all = [&]() -> Result<> {
    while (true) {
      // Pieces as the seal made them, so that each is opened at its first try.
      const auto count = read_full(file, path, sealed);
      if (!count) return std::unexpected(count.error());
      if (*count == 0) break;
      plain.clear();
      if (auto opened = seal.read(ByteView(sealed).first(*count), plain); !opened) return opened;
      if (auto taken = archive.read(plain); !taken) return taken;
      sealed.resize(sealed_chunk_bytes);
    }
    if (auto whole = seal.finish(); !whole) return whole;
    return archive.finish();
  };
  const auto done = open_all();
  wipe(plain);
  if (done) return {};
  Error error = done.error();
  if (error.kind == ErrorKind::corrupt)
    error = {error.kind, "read " + path, "the file is damaged or cut off: " + error.detail};
  return std::unexpected(std::move(error));
}

}  // namespace

Result<BackupFacts> write_backup(const std::string& file, std::vector<Source> sources,
                                 const Secret& passphrase,
                                 const std::function<bool()>& interrupted) {
  std::ranges::sort(
      sources, [](const Source& a, const Source& b) { return comes_before(a.entry, b.entry); });
  if (auto room = require_room(file, sources); !room) return std::unexpected(room.error());
  auto unfinished = Unfinished::create(file);
  if (!unfinished) return std::unexpected(unfinished.error());
  const auto sealed = crypto::begin_sealed_file(passphrase);
  if (!sealed) return std::unexpected(sealed.error());
  if (auto written = unfinished->write(sealed->head); !written)
    return std::unexpected(written.error());
  Writing writing(*unfinished, sealed->key, interrupted);
  for (const Source& source : sources) {
    if (auto added = writing.add(source); !added) return std::unexpected(added.error());
  }
  const auto noted = writing.finish();
  if (!noted) return std::unexpected(noted.error());
  if (auto synced = unfinished->sync(); !synced) return std::unexpected(synced.error());
  if (::lseek(unfinished->file().get(), 0, SEEK_SET) != 0)
    return fail_errno("read " + unfinished->path(), errno);
  Comparison comparison(*noted, interrupted);
  if (auto read = read_from(unfinished->file(), unfinished->path(), passphrase, comparison); !read)
    return std::unexpected(read.error());
  if (auto all = comparison.all_found(); !all) return std::unexpected(all.error());
  const BackupFacts facts{unfinished->bytes(), noted->size()};
  if (auto kept = unfinished->keep(file); !kept) return std::unexpected(kept.error());
  return facts;
}

Result<> read_backup(const std::string& file, const Secret& passphrase, ArchiveSink& sink) {
  const FileDescriptor opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!opened) return fail_errno("open " + file, errno);
  struct stat facts{};
  if (::fstat(opened.get(), &facts) != 0) return fail_errno("examine " + file, errno);
  if (!S_ISREG(facts.st_mode))
    return fail(ErrorKind::invalid, "read " + file, "it is not a regular file");
  return read_from(opened, file, passphrase, sink);
}

}  // namespace postern::backup
