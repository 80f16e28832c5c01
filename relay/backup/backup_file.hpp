// A backup as a file: entries (archive.hpp) inside a seal (crypto/sealed_file.hpp).
//
// Promise: write_backup() gives the file its name only after it was written whole under another,
// synced, read back from the medium, opened with the passphrase and every hash compared with that
// of what was read from the sources; a file that is there is never written over; on every failure
// nothing is left. Memory is bounded whatever the size. Sharp edge: the cache is asked to forget
// the file before it is read back; a medium that lies about its own cache can still deceive.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "relay/backup/archive.hpp"
#include "relay/backup/tree.hpp"
#include "relay/base/error.hpp"
#include "relay/base/secret.hpp"

namespace postern::backup {

struct Source {
  Entry entry;
  const Tree* tree = nullptr;  // where to read it; nullptr: `text` is the content
  std::string path;
  std::string text;
};

struct BackupFacts {
  std::uint64_t bytes = 0;
  std::uint64_t files = 0;
};

// `sources` in any order; sizes in their entries are what is expected now. `interrupted` is asked
// now and then.
[[nodiscard]] Result<BackupFacts> write_backup(const std::string& file, std::vector<Source> sources,
                                               const Secret& passphrase,
                                               const std::function<bool()>& interrupted);

// Every entry to `sink`; success: the whole file was good.
[[nodiscard]] Result<> read_backup(const std::string& file, const Secret& passphrase,
                                   ArchiveSink& sink);

}  // namespace postern::backup
