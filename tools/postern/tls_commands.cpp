// An authority of one's own and its certificate; see the header.
#include "tls_commands.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "crypto/own_authority.hpp"
#include "ownership.hpp"
#include "relay/base/clock.hpp"
#include "relay/base/file.hpp"
#include "relay/base/text.hpp"
#include "relay/config/file_source.hpp"
#include "relay/config/limits.hpp"
#include "relay/config/problems.hpp"
#include "relay/config/sections.hpp"
#include "relay/config/words.hpp"

namespace postern::tools {

namespace {

constexpr char new_label[] = "Postern authority";
constexpr unsigned key_mode = 0600;
constexpr unsigned certificate_mode = 0644;
constexpr unsigned directory_mode = 0700;

using crypto::KeyAndCertificate;

struct Files {
  std::string certificate;
  std::string key;
};

bool is_there(const std::string& path) {
  struct stat facts{};
  return ::lstat(path.c_str(), &facts) == 0;
}

Result<KeyAndCertificate> read_pair(const Files& files) {
  auto certificate = read_file(files.certificate, config::certificate_bytes_max);
  if (!certificate) return std::unexpected(certificate.error());
  auto key = read_secret_file(files.key, config::private_key_bytes_max);
  if (!key) return std::unexpected(key.error());
  return KeyAndCertificate{std::move(*certificate), std::move(*key)};
}

// The key first: one without its certificate gets another at the next run. `there`: the key that is
// there already; where that is kept, no moment has a key and a certificate of two pairs.
Outcome<void> write_pair(const Files& files, const KeyAndCertificate& pair, const Secret* there,
                         const std::optional<FileOwner>& owner) {
  if (there == nullptr || there->text() != pair.private_key_pem.text()) {
    if (const auto done =
            write_file_atomically(files.key, pair.private_key_pem.view(), key_mode, owner);
        !done) {
      return stop(done.error());
    }
  }
  if (const auto done = write_file_atomically(files.certificate, as_bytes(pair.certificate_pem),
                                              certificate_mode, owner);
      !done) {
    return stop(done.error());
  }
  return {};
}

Outcome<void> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), directory_mode) != 0 && errno != EEXIST)
    return stop(fail_errno("make the directory " + path, errno).error());
  return {};
}

Files authority_files(const std::string& configuration_path, const AuthorityOrder& order) {
  const std::string directory = order.directory.value_or(
      config::resolve_path(config::directory_of(configuration_path), "tls"));
  return {directory + "/authority.crt", directory + "/authority.key"};
}

Outcome<KeyAndCertificate> keep_root(const Files& files, Result<KeyAndCertificate> made,
                                     const Secret* key) {
  if (!made) return stop(made.error());
  if (auto done = make_directory(config::directory_of(files.key)); !done)
    return std::unexpected(done.error());
  // The relay needs no key of the authority, so it stays with who runs this command.
  if (auto done = write_pair(files, *made, key, std::nullopt); !done)
    return std::unexpected(done.error());
  return std::move(*made);
}

// The authority that is there, or a new one.
Outcome<KeyAndCertificate> open_authority(const Files& files, const AuthorityOrder& order) {
  const WallTime now = read_clocks().wall;
  const WallTime from = order.from ? WallTime(std::chrono::seconds(*order.from)) : WallTime::max();
  if (!is_there(files.key)) {
    if (!is_there(files.certificate))
      return keep_root(
          files, crypto::make_own_authority(order.label.value_or(new_label), now, from), nullptr);
    return stop(fmt::format("{} is there, and {} is missing", files.certificate, files.key),
                "Put it back from a backup; or remove the other too, and import the new authority "
                "at every device.");
  }
  const auto key = read_secret_file(files.key, config::private_key_bytes_max);
  if (!key) return stop(key.error());
  // A power cut came between the two, or the certificate was lost.
  if (!is_there(files.certificate)) {
    if (order.label)
      return keep_root(files, crypto::make_own_authority(*order.label, now, from, &*key), &*key);
    return stop(fmt::format("{} is there, and {} is missing", files.key, files.certificate),
                "Put it back from a backup; or have it made anew from the key: give --label with "
                "the name that devices show for it.");
  }
  auto read = read_pair(files);
  if (!read) return stop(read.error());
  if (crypto::lasts_another_year(*read, now)) return std::move(*read);
  // Devices that import it in time see no gap. One that we did not make stays as it is.
  if (auto renewed = crypto::renew_own_authority(*read, now))
    return keep_root(files, std::move(renewed), &*key);
  return std::move(*read);
}

Outcome<> authority_report(const Files& files, const KeyAndCertificate& authority) {
  const auto fingerprint = crypto::certificate_fingerprint(authority.certificate_pem);
  if (!fingerprint) return stop(fingerprint.error());
  Report report;
  report.text = fmt::format("Authority for devices to import: {}\nIts SHA-256 fingerprint: {}\n",
                            files.certificate, *fingerprint);
  report.json["authority_file"] = files.certificate;
  report.json["fingerprint"] = *fingerprint;
  return report;
}

Outcome<std::vector<std::string>> names_for(const std::string& configuration_path,
                                            const std::vector<std::string>& more) {
  const auto where = config::read_whereabouts(configuration_path);
  if (!where) return stop(where.error());
  if (!config::is_qualified_domain(where->hostname)) {
    return stop(fmt::format("{} has no hostname to make a certificate for", configuration_path),
                "Set [server] hostname to a name such as relay.office.example.");
  }
  std::vector<std::string> names = {to_lower(where->hostname)};
  for (const std::string& name : more) {
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return names;
}

}  // namespace

Outcome<> make_authority(const std::string& configuration_path, const AuthorityOrder& order) {
  const Files files = authority_files(configuration_path, order);
  const auto authority = open_authority(files, order);
  if (!authority) return std::unexpected(authority.error());
  return authority_report(files, *authority);
}

Outcome<> generate_certificate(const std::string& configuration_path,
                               const CertificateOrder& order) {
  const auto names = names_for(configuration_path, order.names);
  if (!names) return std::unexpected(names.error());
  const Files files = authority_files(configuration_path, order.authority);
  const auto authority = open_authority(files, order.authority);
  if (!authority) return std::unexpected(authority.error());
  auto report = authority_report(files, *authority);
  if (!report) return report;
  const std::string directory = config::directory_of(configuration_path);
  const Files own = {config::resolve_path(directory, std::string(config::own_certificate_file)),
                     config::resolve_path(directory, std::string(config::own_private_key_file))};
  const WallTime now = read_clocks().wall;
  const auto old = read_pair(own);
  const bool keep = old && crypto::is_still_good(*old, *authority, *names, now);
  if (!keep) {
    const Secret* const key = old ? &old->private_key_pem : nullptr;
    const auto issued = crypto::issue_certificate(*authority, *names, now, key);
    if (!issued) return stop(issued.error());
    if (auto done = make_directory(config::directory_of(own.key)); !done)
      return std::unexpected(done.error());
    const auto owner = owner_of_new_files(configuration_path);
    if (auto done = write_pair(own, *issued, key, owner); !done)
      return std::unexpected(done.error());
    if (const auto given =
            give_directory_to_relay(configuration_path, config::directory_of(own.key));
        !given) {
      return stop(given.error());
    }
    tell_ownership(configuration_path, config::directory_of(own.key), *report);
  }
  report->text += fmt::format("{}: {}, which is for {}\n", keep ? "Kept" : "Written",
                              own.certificate, fmt::join(*names, ", "));
  report->json["certificate_file"] = own.certificate;
  report->json["written"] = !keep;
  report->json["names"] = *names;
  return report;
}

}  // namespace postern::tools
