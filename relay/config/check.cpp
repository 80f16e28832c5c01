// The words of a configuration check; see the header.
#include "relay/config/check.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <string_view>

#include "relay/config/file_source.hpp"
#include "relay/config/limits.hpp"

namespace postern::config {

namespace {

std::string counted(std::size_t number, std::string_view what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

// posternd makes a missing directory, but not the one above it.
std::optional<std::string> cannot_make(const std::string& directory) {
  const std::string above = directory_of(directory);
  struct stat facts{};
  if (::stat(above.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) {
    return fmt::format("there is no directory {}; make it", above);
  }
  if (::access(above.c_str(), W_OK | X_OK) == 0) return std::nullopt;
  return fmt::format(
      "{} does not exist, and user id {} may not make it; make it as root and give it to the user "
      "posternd runs as",
      directory, ::geteuid());
}

// As the start sees it (storage/state_directory.cpp).
std::optional<std::string> state_directory_trouble(const std::string& path) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) return cannot_make(path);
  if (!S_ISDIR(facts.st_mode)) return path + " is no directory; choose another or move it away";
  if (::geteuid() != 0 && facts.st_uid != ::geteuid()) {
    return fmt::format(
        "{} belongs to user id {} and not to user id {}; check as the user posternd runs as, or "
        "run: chown {} {}",
        path, facts.st_uid, ::geteuid(), ::geteuid(), path);
  }
  if ((facts.st_mode & (S_IRWXG | S_IRWXO)) == 0) return std::nullopt;
  return fmt::format("the mode of {} is {:o} and it holds people's mail; run: chmod 700 {}", path,
                     facts.st_mode & 07777U, path);
}

std::optional<std::string> control_socket_trouble(const std::string& path) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) == 0 && !S_ISSOCK(facts.st_mode))
    return path + " is no socket; move it away, or choose another control_socket";
  const std::string directory = directory_of(path);
  if (::stat(directory.c_str(), &facts) != 0) return cannot_make(directory);
  if (::access(directory.c_str(), W_OK | X_OK) == 0) return std::nullopt;
  return fmt::format(
      "user id {} may not make a socket in {}; give that to the user posternd runs as", ::geteuid(),
      directory);
}

std::optional<std::string> certificate_trouble(const Configuration& configuration) {
  const WallTime end = configuration.tls->expires();
  const WallTime now = read_clocks().wall;
  if (end - now >= certificate_warning) return std::nullopt;
  return fmt::format("warning: certificate_file of [tls] {} {}; renew it, then `postern reload`",
                     end > now ? "expires" : "has expired", format_timestamp(end));
}

}  // namespace

LoadResult check_configuration(const std::string& path) {
  LoadResult result = load_configuration(path);
  if (!result.configuration) return result;
  const Configuration& good = *result.configuration;
  if (auto trouble = certificate_trouble(good))
    result.warnings.push_back({path, 0, 0, std::move(*trouble)});
  if (const auto trouble = state_directory_trouble(good.state_directory))
    result.problems.push_back({path, 0, 0, "state_directory: " + *trouble});
  if (const auto trouble = control_socket_trouble(good.control_socket))
    result.problems.push_back({path, 0, 0, "control_socket: " + *trouble});
  if (!result.problems.empty()) result.configuration.reset();
  return result;
}

CheckReport describe(const LoadResult& result, const std::string& path) {
  CheckReport report;
  report.valid = result.configuration != nullptr;
  for (const Problem& problem : result.problems) report.text += problem.text() + '\n';
  if (report.valid) {
    const Configuration& good = *result.configuration;
    for (const Problem& warning : result.warnings) report.text += warning.text() + '\n';
    report.text += fmt::format(
        "{}: the configuration is good ({}, {}, {}, {})\n", path,
        counted(good.listeners.size(), "listener"), counted(good.users.size(), "user"),
        counted(good.upstreams.size(), "upstream"), counted(good.dkim_keys.size(), "DKIM key"));
  }
  return report;
}

}  // namespace postern::config
