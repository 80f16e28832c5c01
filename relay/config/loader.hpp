// The loader's inner door: as load_configuration(), with the files from anywhere and the main text
// given.
//
// For tests and the fuzzer, which need no disk. Promise and sharp edge: configuration.hpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "relay/config/configuration.hpp"
#include "relay/config/file_source.hpp"

namespace postern::config {

// `path` is where the text stands: it names problems, and relative paths start from its directory.
// `users_refused`: why the text may hold no users.
[[nodiscard]] LoadResult load_from_text(std::string_view text, const std::string& path,
                                        FileSource& files,
                                        const std::optional<Error>& users_refused = std::nullopt);

}  // namespace postern::config
