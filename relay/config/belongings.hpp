// What belongs to a configuration outside of its text: files that it names, and what others keep
// because of it. For `postern backup` and `postern erase`.
//
// Promise: a configuration that is broken elsewhere still tells what it names. Sharp edge: nothing
// is opened here, so a file that is named may not be there.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "relay/base/error.hpp"
#include "relay/config/problems.hpp"

namespace postern::config {

struct NamedFile {
  std::string key;   // "private_key_file"
  std::string path;  // absolute
  Place place;
};
struct SigningName {
  std::string domain;
  std::string selector;
};
struct UpstreamLogin {
  std::string host;
  std::string user_name;
};

struct Belongings {
  std::string hostname;
  std::string state_directory;  // absolute
  std::vector<NamedFile> files;
  std::vector<SigningName> signing_names;
  std::vector<UpstreamLogin> logins;
};

// `path` is where the text stands, or will stand: relative names start from its directory.
[[nodiscard]] Result<Belongings> read_belongings(std::string_view text, const std::string& path);

}  // namespace postern::config
