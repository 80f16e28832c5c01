// Writing the other slot; see the header.
#include "firmware/update/installer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "crypto/minisign.hpp"
#include "firmware/init/slots.hpp"
#include "firmware/init/system.hpp"
#include "firmware/update/bundle.hpp"
#include "firmware/update/pe_image.hpp"
#include "relay/base/bytes.hpp"
#include "relay/base/file.hpp"

namespace postern::firmware {

namespace {

constexpr std::size_t chunk_bytes = 64UZ * 1024;
constexpr char tries[] = "+3";  // systemd-boot's count of tries, in the file's name

using Sink = std::function<Result<>(ByteView)>;

// Gives every chunk of a file's part to `sink` and returns its hash. The part's `front`, where it
// is known already, is hashed and neither read nor given.
Result<std::string> walk(int fd, std::uint64_t at, std::uint64_t bytes, const Sink& sink,
                         ByteView front = {}) {
  crypto::Sha256 hash;
  hash.update(front);
  at += front.size();
  bytes -= front.size();
  Bytes chunk(chunk_bytes);
  while (bytes > 0) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, chunk.size()));
    const ssize_t count = ::pread(fd, chunk.data(), wanted, static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read the update", errno);
    if (count == 0) return fail(ErrorKind::invalid, "read the update", "the file is cut short");
    const ByteView view = ByteView(chunk).first(static_cast<std::size_t>(count));
    hash.update(view);
    if (auto done = sink(view); !done) return std::unexpected(done.error());
    at += static_cast<std::uint64_t>(count);
    bytes -= static_cast<std::uint64_t>(count);
  }
  return hash.finish_hex();
}

Result<> nothing(ByteView /*unused*/) { return {}; }

Result<> check_part(int fd, std::uint64_t at, const BundlePart& part, const char* name) {
  const auto hash = walk(fd, at, part.bytes, nothing);
  if (!hash) return std::unexpected(hash.error());
  if (*hash == part.sha256) return {};
  return fail(ErrorKind::denied, "check the update",
              std::string("its ") + name + " is not what the signed manifest names");
}

Result<> write_all(int fd, ByteView view) {
  while (!view.empty()) {
    const ssize_t count = ::write(fd, view.data(), view.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return fail_errno("write the update", errno);
    view = view.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

std::unexpected<Error> not_held(const std::string& path) {
  return fail(ErrorKind::io, "write the update",
              path + " does not hold what was written; is the medium worn out?");
}

// Copies a part, but for its front, to `path`, syncs, drops it from the cache and reads it back
// from the medium.
Result<> copy_part(int bundle, std::uint64_t at, const BundlePart& part, const std::string& path,
                   int flags, ByteView front = {}) {
  const FileDescriptor out(::open(path.c_str(), O_RDWR | O_CLOEXEC | flags, 0600));
  if (!out) return fail_errno("open " + path, errno);
  if (::lseek(out.get(), static_cast<off_t>(front.size()), SEEK_SET) < 0)
    return fail_errno("write " + path, errno);
  const auto written = walk(
      bundle, at, part.bytes, [&out](ByteView view) { return write_all(out.get(), view); }, front);
  if (!written) return std::unexpected(written.error());
  if (::fsync(out.get()) != 0) return fail_errno("sync " + path, errno);
  static_cast<void>(::posix_fadvise(out.get(), 0, 0, POSIX_FADV_DONTNEED));
  const auto back = walk(out.get(), 0, part.bytes, nothing, front);
  if (!back) return std::unexpected(back.error());
  if (*written == part.sha256 && *back == part.sha256) return {};
  return not_held(path);
}

// The one write that makes it an image.
Result<> show_kernel(const std::string& path, ByteView front) {
  const FileDescriptor out(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!out) return fail_errno("open " + path, errno);
  if (auto done = write_all(out.get(), front); !done) return done;
  if (::fsync(out.get()) != 0) return fail_errno("sync " + path, errno);
  static_cast<void>(::posix_fadvise(out.get(), 0, 0, POSIX_FADV_DONTNEED));
  Bytes back(front.size());
  if (::pread(out.get(), back.data(), back.size(), 0) == static_cast<ssize_t>(back.size()) &&
      std::ranges::equal(back, front)) {
    return {};
  }
  return not_held(path);
}

// The kernel image under its name, hidden from the boot loader until its front comes last.
Result<> install_kernel(int bundle, std::uint64_t at, const BundlePart& part,
                        const InstallTarget& target) {
  const std::string path =
      target.kernels_directory + "/postern-" + std::string(1, target.slot) + tries + ".efi";
  Bytes front(static_cast<std::size_t>(std::min<std::uint64_t>(part.bytes, image_front_bytes)));
  if (::pread(bundle, front.data(), front.size(), static_cast<off_t>(at)) !=
      static_cast<ssize_t>(front.size())) {
    return fail(ErrorKind::io, "read the update", "the kernel image's front cannot be read");
  }
  if (auto done = copy_part(bundle, at, part, path, O_CREAT | O_EXCL, front); !done) return done;
  if (auto done = sync_directory(target.kernels_directory); !done) return done;
  return show_kernel(path, front);
}

Result<bool> is_signed(int fd, std::uint64_t at, const std::string& name) {
  std::string front(pe_front_bytes, '\0');
  const ssize_t count = ::pread(fd, front.data(), front.size(), static_cast<off_t>(at));
  if (count < 0) return fail_errno("read " + name, errno);
  front.resize(static_cast<std::size_t>(count));
  return carries_signature(front);
}

// A machine with Secure Boot would not start what its owner did not sign, and not say so to
// anybody.
Result<> check_signatures(int bundle, std::uint64_t at, const InstallTarget& target) {
  const std::string running =
      find_slot_image(directory_names(target.kernels_directory), target.slot == 'a' ? 'b' : 'a')
          .name;
  const FileDescriptor image(::open((target.kernels_directory + "/" + running).c_str(),
                                    O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!image) return fail_errno("read the kernel image that runs", errno);
  const auto runs_signed = is_signed(image.get(), 0, "the kernel image that runs");
  if (!runs_signed) return std::unexpected(runs_signed.error());
  const auto comes_signed = is_signed(bundle, at, "the update");
  if (!comes_signed) return std::unexpected(comes_signed.error());
  if (!*runs_signed || *comes_signed) return {};
  return fail(
      ErrorKind::denied, "check the update",
      "what this box runs is signed for Secure Boot and this update is not; build it with the "
      "owner's key");
}

Result<Manifest> open_manifest(int fd, const InstallTarget& target, std::uint64_t& parts_at) {
  std::string front(bundle_head_bytes_max, '\0');
  const ssize_t count = ::pread(fd, front.data(), front.size(), 0);
  if (count < 0) return fail_errno("read the update", errno);
  front.resize(static_cast<std::size_t>(count));
  const auto head = read_bundle_head(front);
  if (!head) return std::unexpected(head.error());
  if (auto good = crypto::verify_minisign(target.public_key, head->signature,
                                          as_bytes(head->manifest_text));
      !good) {
    return std::unexpected(good.error());
  }
  auto manifest = read_manifest(head->manifest_text);
  if (!manifest) return manifest;
  if (manifest->architecture != target.architecture) {
    return fail(ErrorKind::invalid, "check the update",
                "it is for " + manifest->architecture + ", this box is " + target.architecture);
  }
  if (manifest->built <= target.built_after) {
    return fail(ErrorKind::denied, "check the update",
                "it is not newer than what this box runs or ran; an older one is never installed");
  }
  parts_at = head->parts_at;
  return manifest;
}

}  // namespace

Result<std::string> install_update(const std::string& file, const InstallTarget& target) {
  const FileDescriptor bundle(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!bundle) return fail_errno("open " + file, errno);
  std::uint64_t root_at = 0;
  const auto manifest = open_manifest(bundle.get(), target, root_at);
  if (!manifest) return std::unexpected(manifest.error());
  const std::uint64_t a_at = root_at + manifest->root.bytes;
  const std::uint64_t b_at = a_at + manifest->kernel_a.bytes;
  if (auto good = check_part(bundle.get(), root_at, manifest->root, "root"); !good)
    return std::unexpected(good.error());
  if (auto good = check_part(bundle.get(), a_at, manifest->kernel_a, "kernel image"); !good)
    return std::unexpected(good.error());
  if (auto good = check_part(bundle.get(), b_at, manifest->kernel_b, "kernel image"); !good)
    return std::unexpected(good.error());
  if (auto good = check_signatures(bundle.get(), target.slot == 'a' ? a_at : b_at, target); !good)
    return std::unexpected(good.error());

  if (!remove_slot_images(target.kernels_directory, target.slot))
    return fail_errno("remove the older kernel image", errno);
  if (auto done = copy_part(bundle.get(), root_at, manifest->root, target.root_device, 0); !done)
    return std::unexpected(done.error());
  const auto installed = target.slot == 'a'
                             ? install_kernel(bundle.get(), a_at, manifest->kernel_a, target)
                             : install_kernel(bundle.get(), b_at, manifest->kernel_b, target);
  if (!installed) {
    static_cast<void>(remove_slot_images(target.kernels_directory, target.slot));
    return std::unexpected(installed.error());
  }
  return manifest->version;
}

}  // namespace postern::firmware
