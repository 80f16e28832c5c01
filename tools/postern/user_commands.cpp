// Adding, listing and removing users; see the header.
#include "user_commands.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "crypto/password.hpp"
#include "crypto/random.hpp"
#include "ownership.hpp"
#include "password_input.hpp"
#include "relay/base/file.hpp"
#include "relay/config/configuration.hpp"
#include "relay/config/file_source.hpp"
#include "relay/config/limits.hpp"
#include "relay/config/user_file.hpp"
#include "relay/policy/patterns.hpp"
#include "relay/smtp/address.hpp"
#include "relay_client.hpp"

namespace postern::tools {

namespace {

template <class Pattern>
Outcome<void> check_patterns(const std::vector<std::string>& texts, std::string_view option) {
  for (const std::string& text : texts) {
    const auto pattern = Pattern::parse(text);
    if (!pattern) {
      return stop(fmt::format("{} {} cannot be used: {}", option, config::shown(text),
                              pattern.error().detail),
                  fmt::format("Correct the value of {}, then try again.", option));
    }
  }
  return {};
}

Outcome<void> check_addition(const UserAddition& addition) {
  if (const auto named = config::check_user_file_name(addition.name); !named) {
    return stop(named.error().text(), "Choose another name, such as copier-2.");
  }
  if (auto good = check_patterns<policy::AddressPattern>(addition.senders, "--from"); !good)
    return good;
  if (auto good = check_patterns<policy::AddressPattern>(addition.recipients, "--to"); !good)
    return good;
  if (auto good = check_patterns<policy::AddressBlock>(addition.addresses, "--address"); !good)
    return good;
  if (addition.owner && !smtp::parse_mailbox(*addition.owner, false)) {
    return stop(fmt::format("--owner {} is no mail address", config::shown(*addition.owner)),
                "Give one address, such as it@office.example.");
  }
  return {};
}

struct Credential {
  Secret password;
  std::string verifier;
  bool made = false;  // by us: to be printed once
};

Outcome<Credential> take_credential(bool from_stdin) {
  Credential credential;
  if (from_stdin) {
    auto typed = read_password();
    if (!typed) return std::unexpected(typed.error());
    credential.password = std::move(*typed);
  } else {
    credential.password = crypto::make_device_password();
    credential.made = true;
  }
  const auto verifier = crypto::PasswordVerifier::make_argon2id(credential.password);
  if (!verifier) return stop(verifier.error());
  credential.verifier = verifier->text();
  return credential;
}

// What a person types at the device: into the text and the JSON.
void tell_device_settings(const std::string& configuration_path, const std::string& name,
                          const Credential& credential, Report& report) {
  const auto where = config::read_whereabouts(configuration_path);
  const std::string host =
      where && !where->hostname.empty() ? where->hostname : "(set [server] hostname)";
  report.text += "\nSet at the device:\n";
  report.text += fmt::format("  SMTP server     {}\n", host);
  report.json["host"] = host;
  report.json["listeners"] = Json::array();
  if (where) {
    for (const config::Listener& listener : where->listeners) {
      report.text += fmt::format("  Port            {}, security: {}\n", listener.address.port,
                                 listener.implicit_tls ? "SSL/TLS" : "STARTTLS");
      Json item;
      item["port"] = listener.address.port;
      item["tls"] = listener.implicit_tls ? "implicit" : "starttls";
      report.json["listeners"].push_back(std::move(item));
    }
  }
  report.text += fmt::format("  Authentication  on\n  User name       {}\n", name);
  if (credential.made) {
    report.text +=
        fmt::format("  Password        {}\n\nThe password is shown only now and stored nowhere.\n",
                    credential.password.text());
    report.json["password"] = std::string(credential.password.text());
  } else {
    report.text += "  Password        as given on standard input\n\n";
  }
}

Outcome<void> write_file_for_relay(const std::string& configuration_path, const std::string& path,
                                   std::string_view text) {
  const auto owner = owner_of_new_files(configuration_path);
  if (const auto written = config::write_user_file(path, text, owner); !written)
    return stop(written.error());
  if (const auto given = give_directory_to_relay(configuration_path, config::directory_of(path));
      !given)
    return stop(given.error());
  return {};
}

// The user, when it is one that this command may change.
Outcome<config::ListedUser> find_changeable(const config::UserListing& listing,
                                            const std::string& name, std::string_view to_do) {
  const config::ListedUser* user = listing.find(name);
  if (user == nullptr) {
    return stop(fmt::format("there is no user {}", config::shown(name)),
                listing.problems.empty()
                    ? "`postern user list` shows the users there are."
                    : fmt::format("A file could not be read: {}", listing.problems.front().text()));
  }
  if (user->in_main_file) {
    return stop(fmt::format("user {} stands in {}, which this command does not change",
                            config::shown(name), user->place.text()),
                fmt::format("Edit {} to {}, then `postern reload`.", user->place.text(), to_do));
  }
  return *user;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) {
    if (!all.empty()) all += ' ';
    all += printable(text);
  }
  return all;
}

}  // namespace

Outcome<> add_user(const std::string& configuration_path, const UserAddition& addition) {
  if (auto good = check_addition(addition); !good) return std::unexpected(good.error());
  const auto listing = config::list_users(configuration_path);
  if (!listing) return stop(listing.error());
  if (const config::ListedUser* other = listing->find(addition.name)) {
    return stop(fmt::format("user {} is there already, at {}", config::shown(addition.name),
                            other->place.text()),
                "Choose another name, or change its password with `postern user passwd`.");
  }
  const std::string path = config::user_file_path(configuration_path, addition.name);
  struct stat facts{};
  if (::lstat(path.c_str(), &facts) == 0) {
    return stop(fmt::format("the file {} is there already", path),
                "Look at it and take it away, then try again.");
  }
  auto credential = take_credential(addition.password_from_stdin);
  if (!credential) return std::unexpected(credential.error());
  const config::UserSettings settings{addition.name,       credential->verifier, addition.senders,
                                      addition.recipients, addition.addresses,   addition.owner};
  if (auto done =
          write_file_for_relay(configuration_path, path, config::render_user_file(settings));
      !done) {
    return std::unexpected(done.error());
  }
  Report report;
  report.text = fmt::format("User {} is added: {}\n", addition.name, path);
  report.json["user"] = addition.name;
  report.json["file"] = path;
  tell_device_settings(configuration_path, addition.name, *credential, report);
  tell_reload(reload_if_running(configuration_path), report);
  tell_ownership(configuration_path, config::directory_of(path), report);
  return report;
}

Outcome<> list_users(const std::string& configuration_path) {
  const auto listing = config::list_users(configuration_path);
  if (!listing) return stop(listing.error());
  Report report;
  report.json = Json::array();
  std::vector<std::vector<std::string>> rows = {{"USER", "MAY SEND AS", "FROM ADDRESS", "FILE"}};
  for (const config::ListedUser& user : listing->users) {
    const config::UserSettings& settings = user.settings;
    const std::string addresses =
        settings.addresses.empty() ? "anywhere" : joined(settings.addresses);
    rows.push_back(
        {printable(settings.name), joined(settings.senders), addresses, user.place.text()});
    Json item;
    item["name"] = settings.name;
    item["senders"] = settings.senders;
    item["recipients"] = settings.recipients;
    item["addresses"] = settings.addresses;
    item["owner"] = settings.owner ? Json(*settings.owner) : Json(nullptr);
    item["file"] = user.place.file;
    item["line"] = user.place.line;
    report.json.push_back(std::move(item));
  }
  report.text = rows.size() == 1
                    ? "There are no users; add one with `postern user add NAME --from ADDRESS`.\n"
                    : table(rows);
  for (const config::Problem& problem : listing->problems) {
    report.warning += (report.warning.empty() ? "" : "\n") + problem.text();
  }
  // A script must not take half a list for the whole.
  if (!listing->problems.empty()) {
    report.warning += "\nThe list may lack users; mend these files, then `postern check`.";
    report.exit_code = exit_failed;
  }
  return report;
}

Outcome<> remove_user(const std::string& configuration_path, const std::string& name) {
  const auto listing = config::list_users(configuration_path);
  if (!listing) return stop(listing.error());
  const auto user = find_changeable(*listing, name, "take the user away");
  if (!user) return std::unexpected(user.error());
  if (!user->alone_in_file) {
    return stop(
        fmt::format("the file of user {} holds others too ({})", config::shown(name),
                    user->place.text()),
        "Take the user's [[user]] section out of that file by hand, then `postern reload`.");
  }
  for (const auto& [routed, place] : listing->route_users) {
    if (routed != name) continue;
    return stop(fmt::format("a [[route]] names user {}, at {}", config::shown(name), place.text()),
                "Take the name out of that route first, then try again.");
  }
  if (::unlink(user->place.file.c_str()) != 0)
    return stop(fail_errno("remove " + user->place.file, errno).error());
  if (const auto synced = sync_directory(config::directory_of(user->place.file)); !synced)
    return stop(synced.error());
  Report report;
  report.text = fmt::format("User {} is removed; its mail in the queue is still delivered.\n",
                            printable(name));
  report.json["user"] = name;
  report.json["file"] = user->place.file;
  tell_reload(reload_if_running(configuration_path), report);
  return report;
}

Outcome<> change_password(const std::string& configuration_path, const std::string& name,
                          bool password_from_stdin) {
  const auto listing = config::list_users(configuration_path);
  if (!listing) return stop(listing.error());
  const auto user = find_changeable(*listing, name, "change the password line");
  if (!user) return std::unexpected(user.error());
  const std::string& path = user->place.file;
  const auto text = read_file(path, config::configuration_bytes_max);
  if (!text) return stop(text.error());
  auto credential = take_credential(password_from_stdin);
  if (!credential) return std::unexpected(credential.error());
  const auto changed = config::replace_password(*text, path, name, credential->verifier);
  if (!changed) return stop(changed.error());
  if (auto done = write_file_for_relay(configuration_path, path, *changed); !done) {
    return std::unexpected(done.error());
  }
  Report report;
  report.text = fmt::format("User {} has a new password; the old one ends with the reload.\n",
                            printable(name));
  report.json["user"] = name;
  report.json["file"] = path;
  tell_device_settings(configuration_path, name, *credential, report);
  tell_reload(reload_if_running(configuration_path), report);
  tell_ownership(configuration_path, config::directory_of(path), report);
  return report;
}

}  // namespace postern::tools
