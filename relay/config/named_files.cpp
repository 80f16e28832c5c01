// Files that a key of the configuration names: a certificate, a key, a password.
#include <fmt/format.h>

#include "relay/config/sections.hpp"

namespace postern::config {

std::optional<std::string> read_named_file(LoadContext& context, std::string_view key,
                                           const Placed<std::string>& path, std::size_t bytes_max) {
  auto content = context.files.read(resolve_path(context.directory, path.value), bytes_max);
  if (content) return std::move(*content);
  context.problems.add(path.place,
                       fmt::format("{} cannot be used: {}", key, content.error().text()));
  return std::nullopt;
}

std::optional<Secret> read_named_secret(LoadContext& context, std::string_view key,
                                        const Placed<std::string>& path, std::size_t bytes_max) {
  auto content = context.files.read_secret(resolve_path(context.directory, path.value), bytes_max);
  if (content) return std::move(*content);
  context.problems.add(path.place,
                       fmt::format("{} cannot be used: {}", key, content.error().text()));
  return std::nullopt;
}

}  // namespace postern::config
