// The reserve; see reserve.hpp.
#include "storage/reserve.hpp"

#include <algorithm>
#include <cerrno>

#include "crypto/random.hpp"
#include "relay/base/file.hpp"

namespace postern::storage {

namespace {

constexpr std::size_t piece_bytes = std::size_t{64} * 1024;

bool means_full(int code) { return code == -ENOSPC || code == -EDQUOT; }

}  // namespace

Reserve::Reserve(std::string folder, SpoolFiles& files)
    : folder_(std::move(folder)),
      path_(folder_ + "/reserve"),
      files_(&files),
      held_(files.size(path_) > 0) {}

Result<> Reserve::take() {
  held_ = false;
  int code = files_->make_file(path_);
  if (code >= 0) {
    const int fd = files_->open_for_rewriting(path_);
    const FileDescriptor file(fd);
    code = file ? fill(file.get()) : fd;
    if (code >= 0) code = files_->sync(file.get());
    if (code >= 0) code = files_->sync_folder(folder_);
    held_ = code >= 0;
  }
  if (held_) return {};
  static_cast<void>(files_->unlink(path_));
  if (means_full(code)) return {};
  return fail_errno("keep room in " + path_, -code);
}

bool Reserve::give_up() {
  if (!held_) return false;
  held_ = false;
  return files_->unlink(path_) >= 0;
}

// Allocating writes nothing to the flash; what is allocated already stays as it is.
int Reserve::fill(int fd) {
  const int code = files_->allocate(fd, reserve_bytes);
  if (code != -EOPNOTSUPP && code != -ENOSYS) return code;
  const std::int64_t size = files_->size(path_);
  return size == static_cast<std::int64_t>(reserve_bytes) ? 0 : write_all(fd);
}

// For file systems that cannot allocate. Those may compress, and zeros would take up no room.
int Reserve::write_all(int fd) {
  Bytes piece(piece_bytes);
  crypto::fill_random(piece);
  for (std::uint64_t offset = 0; offset < reserve_bytes;) {
    const auto rest = std::min<std::uint64_t>(piece_bytes, reserve_bytes - offset);
    const std::int64_t written =
        files_->write_at(fd, offset, ByteView(piece).first(static_cast<std::size_t>(rest)));
    if (written <= 0) return written == 0 ? -EIO : static_cast<int>(written);
    offset += static_cast<std::uint64_t>(written);
  }
  return 0;
}

}  // namespace postern::storage
