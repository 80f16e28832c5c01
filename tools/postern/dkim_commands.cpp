// Making DKIM keys; see the header.
#include "dkim_commands.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

#include "crypto/dkim.hpp"
#include "ownership.hpp"
#include "relay/base/clock.hpp"
#include "relay/base/file.hpp"
#include "relay/base/text.hpp"
#include "relay/config/file_source.hpp"
#include "relay/config/problems.hpp"
#include "relay/config/words.hpp"
#include "relay/smtp/address.hpp"

namespace postern::tools {

namespace {

constexpr unsigned key_mode = 0600;
constexpr unsigned directory_mode = 0700;
constexpr std::size_t txt_string_bytes_max =
    255;  // RFC 1035 §3.3: a character-string's length is one octet

struct KeyKind {
  crypto::DkimAlgorithm algorithm;
  std::string_view name;  // in the JSON and the text
  std::string_view file_ending;
  std::string_view selector_ending;  // so that both keys of a year differ
};

constexpr std::array<KeyKind, 2> kinds = {
    {{crypto::DkimAlgorithm::rsa_sha256, "rsa-sha256", ".rsa.pem", "a"},
     {crypto::DkimAlgorithm::ed25519_sha256, "ed25519-sha256", ".ed25519.pem", "e"}}};

struct MadeKey {
  std::string_view algorithm;
  std::string selector;
  std::string path;             // where it was written
  std::string configured_path;  // as the configuration should name it
  std::string record_name;
  std::string record_text;
};

std::string prefix_of_this_year() {
  const auto today = std::chrono::floor<std::chrono::days>(read_clocks().wall);
  return fmt::format("p{}", static_cast<int>(std::chrono::year_month_day(today).year()));
}

std::vector<std::string> txt_strings(std::string_view text) {
  std::vector<std::string> pieces;
  for (; !text.empty(); text.remove_prefix(std::min(text.size(), txt_string_bytes_max))) {
    pieces.emplace_back(text.substr(0, txt_string_bytes_max));
  }
  return pieces;
}

Outcome<void> check_order(const DkimOrder& order, const std::string& prefix) {
  if (!config::is_qualified_domain(order.domain)) {
    return stop(fmt::format("{} is no domain name", config::shown(order.domain)),
                "Give the domain of the sender addresses, such as office.example.");
  }
  if (!smtp::is_valid_domain(prefix + "a", false)) {
    return stop(fmt::format("--selector {} cannot stand in DNS", config::shown(prefix)),
                "Use letters, digits and hyphens, such as p2026.");
  }
  return {};
}

Outcome<void> write_key(const std::string& configuration_path, const std::string& path,
                        const Secret& pem) {
  if (const auto written = write_file_atomically(path, pem.view(), key_mode); !written)
    return stop(written.error());
  if (const auto given = give_to_relay(configuration_path, path); !given)
    return stop(given.error());
  return {};
}

std::string configuration_tables(const std::string& domain, const std::vector<MadeKey>& keys) {
  std::string text;
  for (const MadeKey& key : keys) {
    if (!text.empty()) text += '\n';
    text += fmt::format("[[dkim]]\ndomain = {}\nselector = {}\nprivate_key_file = {}\n",
                        config::quote_toml(domain), config::quote_toml(key.selector),
                        config::quote_toml(key.configured_path));
  }
  return text;
}

Report report_of(const std::string& domain, const std::vector<MadeKey>& keys) {
  Report report;
  const std::string tables = configuration_tables(domain, keys);
  report.json["domain"] = domain;
  report.json["keys"] = Json::array();
  std::string records;
  for (const MadeKey& key : keys) {
    const std::vector<std::string> pieces = txt_strings(key.record_text);
    report.text += fmt::format("Written: {}\n", key.path);
    records += fmt::format(
        "Name:  {}\nType:  TXT\nText:  {}\n\nThe same for a zone file, in strings of at most {} "
        "octets:\n{}. IN TXT (",
        key.record_name, key.record_text, txt_string_bytes_max, key.record_name);
    for (const std::string& piece : pieces) records += fmt::format("\n  \"{}\"", piece);
    records += " )\n\n";
    Json item;
    item["algorithm"] = key.algorithm;
    item["selector"] = key.selector;
    item["private_key_file"] = key.path;
    item["record_name"] = key.record_name;
    item["record_text"] = key.record_text;
    item["record_strings"] = pieces;
    report.json["keys"].push_back(std::move(item));
  }
  report.json["configuration"] = tables;
  report.text += fmt::format(
      "\n1. Publish these DNS records.\n\n{}2. When they can be looked up, add to the "
      "configuration:\n\n{}\n"
      "3. `postern reload`\n",
      records, tables);
  return report;
}

}  // namespace

Outcome<> generate_dkim_keys(const std::string& configuration_path, const DkimOrder& order) {
  const std::string prefix = to_lower(order.selector_prefix.value_or(prefix_of_this_year()));
  if (auto good = check_order(order, prefix); !good) return std::unexpected(good.error());
  const std::string domain = to_lower(order.domain);
  const std::string directory = order.directory.value_or(
      config::resolve_path(config::directory_of(configuration_path), "dkim"));
  std::vector<MadeKey> keys;
  for (const KeyKind& kind : kinds) {
    MadeKey key;
    key.algorithm = kind.name;
    key.selector = prefix + std::string(kind.selector_ending);
    const std::string file = domain + std::string(kind.file_ending);
    key.path = fmt::format("{}/{}", directory, file);
    key.configured_path = order.directory ? config::absolute_path(key.path) : "dkim/" + file;
    key.record_name = fmt::format("{}._domainkey.{}", key.selector, domain);
    struct stat facts{};
    if (::lstat(key.path.c_str(), &facts) == 0) {
      return stop(
          fmt::format("the key {} is there already", key.path),
          "Keep it, or make the new keys in another place with --directory and a new --selector.");
    }
    keys.push_back(std::move(key));
  }
  if (::mkdir(directory.c_str(), directory_mode) == 0) {
    if (const auto given = give_to_relay(configuration_path, directory); !given)
      return stop(given.error());
  } else if (errno != EEXIST) {
    return stop(fail_errno("make the directory " + directory, errno).error());
  }
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    const auto made = crypto::generate_dkim_key(kinds[i].algorithm);
    if (!made) return stop(made.error());
    keys[i].record_text = crypto::dkim_record_text(kinds[i].algorithm, made->public_key_base64);
    if (auto done = write_key(configuration_path, keys[i].path, made->private_key_pem); !done) {
      return std::unexpected(done.error());
    }
  }
  Report report = report_of(domain, keys);
  tell_ownership(configuration_path, directory, report);
  return report;
}

}  // namespace postern::tools
