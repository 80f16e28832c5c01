// Making DKIM keys; see the header.
#include "dkim_commands.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

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
#include "relay/config/check.hpp"
#include "relay/config/file_source.hpp"
#include "relay/config/limits.hpp"
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
  const auto owner = owner_of_new_files(configuration_path);
  if (const auto written = write_file_atomically(path, pem.view(), key_mode, owner); !written)
    return stop(written.error());
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

std::string record_of(const MadeKey& key) {
  std::string record = fmt::format(
      "Name:  {}\nType:  TXT\nText:  {}\n\nThe same for a zone file, in strings of at most {} "
      "octets:\n{}. IN TXT (",
      key.record_name, key.record_text, txt_string_bytes_max, key.record_name);
  for (const std::string& piece : txt_strings(key.record_text))
    record += fmt::format("\n  \"{}\"", piece);
  return record + " )\n\n";
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
    records += record_of(key);
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

bool is_there(const std::string& path) {
  struct stat facts{};
  return ::lstat(path.c_str(), &facts) == 0;
}

std::string directory_for(const std::string& configuration_path, const DkimOrder& order) {
  return order.directory.value_or(
      config::resolve_path(config::directory_of(configuration_path), "dkim"));
}

// What the two keys of a domain are called; nothing is made yet.
std::vector<MadeKey> plan_keys(const std::string& configuration_path, const DkimOrder& order,
                               const std::string& prefix) {
  const std::string domain = to_lower(order.domain);
  const std::string directory = directory_for(configuration_path, order);
  std::vector<MadeKey> keys;
  for (const KeyKind& kind : kinds) {
    MadeKey key;
    key.algorithm = kind.name;
    key.selector = prefix + std::string(kind.selector_ending);
    const std::string file = domain + std::string(kind.file_ending);
    key.path = fmt::format("{}/{}", directory, file);
    key.configured_path = order.directory ? config::absolute_path(key.path) : "dkim/" + file;
    key.record_name = fmt::format("{}._domainkey.{}", key.selector, domain);
    keys.push_back(std::move(key));
  }
  return keys;
}

Outcome<void> make_key_directory(const std::string& configuration_path,
                                 const std::string& directory) {
  if (::mkdir(directory.c_str(), directory_mode) == 0) {
    if (const auto given = give_directory_to_relay(configuration_path, directory); !given)
      return stop(given.error());
  } else if (errno != EEXIST) {
    return stop(fail_errno("make the directory " + directory, errno).error());
  }
  return {};
}

// Makes the key, or takes the one that is there.
Outcome<void> fill_key(const std::string& configuration_path, const KeyKind& kind,
                       const std::string& domain, MadeKey& key) {
  if (is_there(key.path)) {
    const auto pem = read_secret_file(key.path, config::private_key_bytes_max);
    if (!pem) return stop(pem.error());
    const auto loaded = crypto::DkimKey::load(domain, key.selector, *pem);
    if (!loaded) return stop(loaded.error());
    key.record_text =
        crypto::dkim_record_text((*loaded)->algorithm(), (*loaded)->public_key_base64());
    return {};
  }
  const auto made = crypto::generate_dkim_key(kind.algorithm);
  if (!made) return stop(made.error());
  key.record_text = crypto::dkim_record_text(kind.algorithm, made->public_key_base64);
  return write_key(configuration_path, key.path, made->private_key_pem);
}

// Written over whole and atomically, with the mode and the owner that it has.
Outcome<void> add_to_configuration(const std::string& path, const std::string& tables) {
  const auto file = read_file_with_facts(path, config::configuration_bytes_max);
  if (!file) return stop(file.error());
  const std::string whole = file->text + (file->text.ends_with('\n') ? "\n" : "\n\n") +
                            "# Made by `postern dkim generate --missing`.\n" + tables;
  const auto owner =
      ::geteuid() == 0 ? std::optional(FileOwner{file->owner, file->group}) : std::nullopt;
  if (const auto done = write_file_atomically(path, as_bytes(whole), file->mode & 0777U, owner);
      !done) {
    return stop(done.error());
  }
  return {};
}

}  // namespace

Outcome<> generate_dkim_keys(const std::string& configuration_path, const DkimOrder& order) {
  const std::string prefix = to_lower(order.selector_prefix.value_or(prefix_of_this_year()));
  if (auto good = check_order(order, prefix); !good) return std::unexpected(good.error());
  const std::string domain = to_lower(order.domain);
  const std::string directory = directory_for(configuration_path, order);
  std::vector<MadeKey> keys = plan_keys(configuration_path, order, prefix);
  for (const MadeKey& key : keys) {
    if (!is_there(key.path)) continue;
    return stop(
        fmt::format("the key {} is there already", key.path),
        "Keep it, or make the new keys in another place with --directory and a new --selector.");
  }
  if (auto done = make_key_directory(configuration_path, directory); !done)
    return std::unexpected(done.error());
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (auto done = fill_key(configuration_path, kinds[i], domain, keys[i]); !done)
      return std::unexpected(done.error());
  }
  Report report = report_of(domain, keys);
  tell_ownership(configuration_path, directory, report);
  return report;
}

Outcome<> generate_missing_dkim_keys(const std::string& configuration_path,
                                     const std::optional<std::string>& selector_prefix) {
  const std::string prefix = to_lower(selector_prefix.value_or(prefix_of_this_year()));
  const auto loaded = config::load_configuration(configuration_path);
  if (!loaded.configuration) {
    return stop("the configuration has problems: " + loaded.problems.front().text(),
                "Run `postern check`, mend what it names, then try again.");
  }
  std::string tables;
  Report report;
  report.json["domains"] = Json::array();
  for (const std::string& domain : config::domains_without_key(*loaded.configuration)) {
    const DkimOrder order{domain, prefix, std::nullopt};
    if (auto good = check_order(order, prefix); !good) return std::unexpected(good.error());
    const std::string directory = directory_for(configuration_path, order);
    if (auto done = make_key_directory(configuration_path, directory); !done)
      return std::unexpected(done.error());
    std::vector<MadeKey> keys = plan_keys(configuration_path, order, prefix);
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      if (auto done = fill_key(configuration_path, kinds[i], domain, keys[i]); !done)
        return std::unexpected(done.error());
      report.text += record_of(keys[i]);
    }
    tables += configuration_tables(domain, keys) + '\n';
    report.json["domains"].push_back(domain);
  }
  if (tables.empty()) {
    report.text = "Every domain that a user may send as has a key.\n";
    return report;
  }
  if (auto done = add_to_configuration(configuration_path, tables); !done)
    return std::unexpected(done.error());
  tell_ownership(configuration_path, directory_for(configuration_path, {}), report);
  report.text =
      "The keys are in the configuration. Publish these DNS records, then `postern reload`.\n\n" +
      report.text;
  return report;
}

Outcome<> show_dkim_records(const std::string& configuration_path) {
  const auto loaded = config::load_configuration(configuration_path);
  if (!loaded.configuration) {
    return stop("the configuration has problems: " + loaded.problems.front().text(),
                "Run `postern check`, mend what it names, then try again.");
  }
  Report report;
  report.json["records"] = Json::array();
  for (const auto& key : loaded.configuration->dkim_keys) {
    MadeKey shown;
    shown.record_name = fmt::format("{}._domainkey.{}", key->selector(), key->domain());
    shown.record_text = crypto::dkim_record_text(key->algorithm(), key->public_key_base64());
    report.text += record_of(shown);
    Json item;
    item["record_name"] = shown.record_name;
    item["record_text"] = shown.record_text;
    report.json["records"].push_back(std::move(item));
  }
  if (report.text.empty()) report.text = "The configuration names no DKIM key.\n";
  return report;
}

}  // namespace postern::tools
