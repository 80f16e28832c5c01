// What a backup holds inside its seal: entries, one after the other.
//
//   kind      1 octet: 1 folder, 2 file, 0 the end
//   place     1 octet: what the path is relative to
//   owner     1 octet: bit 0 the relay's user, bit 1 the relay's group; else who restores it
//   mode      u16, path length u16, path
//   size      u64, content, SHA-256 in 64 hexadecimal digits: a file's alone
//   count     u32: the end's alone, of all entries before it
//
// Numbers are little-endian. Promise: the reader takes octets in any pieces and hands each entry on
// only with a path that is relative, has no ".." and no other surprise, in strictly rising order
// (so none comes twice), bounded in number and size; a file's end is told only after its hash was
// right. Sharp edge: content is handed on before its hash is known; whoever keeps it must be able
// to throw it away.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "crypto/minisign.hpp"
#include "relay/base/bytes.hpp"
#include "relay/base/error.hpp"

namespace postern::backup {

enum class Kind : std::uint8_t { end = 0, folder = 1, file = 2 };
enum class Place : std::uint8_t {
  about = 0,          // one file "about": what the backup is of, for people
  configuration = 1,  // the directory of the configuration, which is called main_file here
  authority = 2,      // the directory of an authority that stands elsewhere
  state = 3           // queue.key, queue.db, spool/<id>.body
};
inline constexpr std::string_view about_file = "about";
inline constexpr std::string_view main_file = "postern.toml";

struct Entry {
  Kind kind = Kind::file;
  Place place = Place::about;
  bool relay_user = false;
  bool relay_group = false;
  unsigned mode = 0600;
  std::string path;
  std::uint64_t size = 0;
};

inline constexpr std::size_t entry_path_bytes_max = 512;
inline constexpr std::size_t entry_path_depth_max = 8;
// 10'000 users and as many spooled bodies as a queue of 16 GiB holds at their smallest.
inline constexpr std::uint32_t entries_max = 100'000;
inline constexpr std::uint64_t entry_bytes_max = std::uint64_t{1} << 40;
// What of the configuration and the authority is read into memory somewhere.
inline constexpr std::uint64_t small_entry_bytes_max = std::uint64_t{8} << 20;

// Whether such an entry may be in a backup; invalid otherwise.
[[nodiscard]] Result<> check_entry(const Entry& entry);
// As the entries of an archive rise.
[[nodiscard]] bool comes_before(const Entry& a, const Entry& b);

// Each appends its octets to `plain`.
class ArchiveWriter {
 public:
  [[nodiscard]] Result<> begin(const Entry& entry, Bytes& plain);
  void content(ByteView octets, Bytes& plain);
  // The content must be as long as was said; gives its hash.
  [[nodiscard]] Result<std::string> end_file(Bytes& plain);
  void finish(Bytes& plain);

 private:
  Entry last_;
  std::uint32_t count_ = 0;
  std::uint64_t left_ = 0;
  std::unique_ptr<crypto::Sha256> hash_;
};

struct ArchiveSink {
  virtual ~ArchiveSink() = default;
  [[nodiscard]] virtual Result<> begin(const Entry& entry) = 0;
  [[nodiscard]] virtual Result<> content(ByteView octets) = 0;  // of the file begun
  [[nodiscard]] virtual Result<> end_file(std::string_view hash) = 0;
};

class ArchiveReader {
 public:
  explicit ArchiveReader(ArchiveSink& sink) : sink_(&sink) {}
  [[nodiscard]] Result<> read(ByteView plain);
  // After the last octet: an Error unless the end was there.
  [[nodiscard]] Result<> finish() const;

 private:
  enum class State { head, path, size, content, hash, count, ended };
  [[nodiscard]] std::size_t wanted() const;
  [[nodiscard]] Result<> take();
  [[nodiscard]] Result<> take_head();
  [[nodiscard]] Result<> take_path();
  [[nodiscard]] Result<> take_count();
  [[nodiscard]] Result<> take_hash();

  ArchiveSink* sink_;
  State state_ = State::head;
  Bytes pending_;
  std::size_t path_bytes_ = 0;
  Entry entry_;
  Entry last_;
  std::uint32_t count_ = 0;
  std::uint64_t left_ = 0;
  std::unique_ptr<crypto::Sha256> hash_;
};

}  // namespace postern::backup
