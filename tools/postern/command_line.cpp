// The command line by CLI11; see the header.
#include "command_line.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "backup_words.hpp"
#include "box_commands.hpp"
#include "dkim_commands.hpp"
#include "health_command.hpp"
#include "queue_commands.hpp"
#include "relay/config/problems.hpp"
#include "relay/config/words.hpp"
#include "relay_commands.hpp"
#include "tls_commands.hpp"
#include "user_commands.hpp"

namespace postern::tools {

namespace {

// Everything that options write into; it lives until the order has run.
struct Words {
  std::string configuration = "/etc/postern/postern.toml";
  bool json = false;
  UserAddition addition;
  std::string user_name;
  bool password_from_stdin = false;
  std::string queue_id;
  bool all = false;
  DkimOrder dkim;
  CertificateOrder certificate;
  HealthOrder health;
  std::string update_file;
  std::function<Outcome<>()> run;
};

void add_user_commands(CLI::App& app, Words& words) {
  CLI::App* user = app.add_subcommand("user", "devices and programs that may send");
  user->require_subcommand(1);
  CLI::App* add = user->add_subcommand("add", "add a user and make its password");
  add->add_option("NAME", words.addition.name, "a-z, 0-9, '.', '_', '-'")->required();
  add->add_option("--from", words.addition.senders,
                  "sender addresses it may use, such as scan@office.example")
      ->required();
  add->add_option("--to", words.addition.recipients,
                  "recipients it may send to (left out: everybody)");
  add->add_option("--address", words.addition.addresses,
                  "where it may connect from, such as 192.168.10.0/24");
  add->add_option("--owner", words.addition.owner, "a person's address, told of failures");
  add->add_flag("--password-stdin", words.addition.password_from_stdin,
                "take the password from standard input");
  add->callback(
      [&words] { words.run = [&words] { return add_user(words.configuration, words.addition); }; });
  CLI::App* list = user->add_subcommand("list", "show the users");
  list->callback([&words] { words.run = [&words] { return list_users(words.configuration); }; });
  CLI::App* remove = user->add_subcommand("remove", "take a user away");
  remove->add_option("NAME", words.user_name)->required();
  remove->callback([&words] {
    words.run = [&words] { return remove_user(words.configuration, words.user_name); };
  });
  CLI::App* passwd = user->add_subcommand("passwd", "give a user a new password");
  passwd->add_option("NAME", words.user_name)->required();
  passwd->add_flag("--password-stdin", words.password_from_stdin,
                   "take the password from standard input");
  passwd->callback([&words] {
    words.run = [&words] {
      return change_password(words.configuration, words.user_name, words.password_from_stdin);
    };
  });
}

void add_queue_change(CLI::App& queue, Words& words, const char* name, const char* help,
                      control::Verb verb) {
  CLI::App* change = queue.add_subcommand(name, help);
  CLI::Option_group* which = change->add_option_group("which", "one message, or all");
  which->add_option("ID", words.queue_id, "the message's queue id");
  which->add_flag("--all", words.all, "every message in the queue");
  which->require_option(1);
  change->callback([&words, verb] {
    words.run = [&words, verb] {
      return change_queue(words.configuration, verb,
                          words.all ? std::nullopt : std::optional(words.queue_id));
    };
  });
}

void add_queue_commands(CLI::App& app, Words& words) {
  CLI::App* queue = app.add_subcommand("queue", "mail that waits");
  queue->require_subcommand(1);
  CLI::App* list = queue->add_subcommand("list", "show what waits and why");
  list->callback([&words] { words.run = [&words] { return list_queue(words.configuration); }; });
  CLI::App* show =
      queue->add_subcommand("show", "show one message with its recipients and replies");
  show->add_option("ID", words.queue_id, "the message's queue id")->required();
  show->callback([&words] {
    words.run = [&words] { return show_message(words.configuration, words.queue_id); };
  });
  add_queue_change(*queue, words, "retry", "try now", control::Verb::queue_retry);
  add_queue_change(*queue, words, "hold", "do not try until released", control::Verb::queue_hold);
  add_queue_change(*queue, words, "release", "end a hold", control::Verb::queue_release);
  add_queue_change(*queue, words, "remove", "throw away without a report",
                   control::Verb::queue_remove);
}

void add_tls_commands(CLI::App& app, Words& words) {
  CLI::App* tls = app.add_subcommand("tls", "an authority of one's own and the certificate");
  tls->require_subcommand(1);
  CLI::App* authority = tls->add_subcommand("authority", "make the authority that devices import");
  CLI::App* generate =
      tls->add_subcommand("generate", "make or renew the certificate that devices see");
  for (CLI::App* command : {authority, generate}) {
    command->add_option("--authority", words.certificate.authority.directory,
                        "where the authority is (left out: tls beside the configuration)");
    command->add_option("--label", words.certificate.authority.label,
                        "the name that devices show for it");
    command->add_option("--from", words.certificate.authority.from,
                        "seconds since 1970 from which a new one is valid at the latest");
  }
  generate->add_option("--name", words.certificate.names,
                       "a name or address beside the configuration's hostname");
  authority->callback([&words] {
    words.run = [&words] {
      return make_authority(words.configuration, words.certificate.authority);
    };
  });
  generate->callback([&words] {
    words.run = [&words] { return generate_certificate(words.configuration, words.certificate); };
  });
}

void add_other_commands(CLI::App& app, Words& words) {
  CLI::App* dkim = app.add_subcommand("dkim", "keys that sign mail");
  dkim->require_subcommand(1);
  CLI::App* generate =
      dkim->add_subcommand("generate", "make a domain's keys and print its DNS records");
  CLI::Option_group* what = generate->add_option_group("what", "one domain, or all without a key");
  what->add_option("DOMAIN", words.dkim.domain, "such as office.example");
  what->add_flag("--missing", words.all,
                 "for every domain that a user may send as and that has no key; adds them to the "
                 "configuration");
  what->require_option(1);
  generate->add_option("--selector", words.dkim.selector_prefix,
                       "start of both selectors (left out: p and the year)");
  generate->add_option("--directory", words.dkim.directory,
                       "where keys go (left out: dkim beside the configuration)");
  generate->callback([&words] {
    words.run = [&words] {
      return words.all ? generate_missing_dkim_keys(words.configuration, words.dkim.selector_prefix)
                       : generate_dkim_keys(words.configuration, words.dkim);
    };
  });
  CLI::App* show = dkim->add_subcommand("show", "print the DNS records of every key");
  show->callback(
      [&words] { words.run = [&words] { return show_dkim_records(words.configuration); }; });
  add_tls_commands(app, words);
  app.add_subcommand("status", "show the running relay")->callback([&words] {
    words.run = [&words] { return show_status(words.configuration); };
  });
  CLI::App* health =
      app.add_subcommand("health", "try the relay's own listeners and its upstreams");
  health->add_option("--note", words.health.note, "keep the upstreams' faults in this file");
  health->add_option("--known", words.health.known, "faults kept so before do not count");
  health->callback([&words] {
    words.run = [&words] { return check_health(words.configuration, words.health); };
  });
  CLI::App* update = app.add_subcommand("update", "install an update into a box's other slot");
  update->add_option("FILE", words.update_file, "a signed bundle")->required();
  update->callback(
      [&words] { words.run = [&words] { return install_update(words.update_file); }; });
  app.add_subcommand("network", "show the fixed address that a box's configuration names")
      ->callback([&words] { words.run = [&words] { return show_network(words.configuration); }; });
  app.add_subcommand("check", "check the configuration; no relay needed")->callback([&words] {
    words.run = [&words] { return check_configuration(words.configuration); };
  });
  app.add_subcommand("reload", "make the running relay read its configuration again")
      ->callback([&words] { words.run = [&words] { return reload(words.configuration); }; });
}

// Options of the top are taken behind the subcommands too.
void let_options_fall_through(CLI::App& app) {
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    command->fallthrough();
    let_options_fall_through(*command);
  }
}

// Known before parsing, because a usage mistake is told as JSON too.
bool asks_for_json(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--json") return true;
  }
  return false;
}

// The first word that is no command where one belongs, with what was probably meant; empty when
// there is none.
std::string wrong_command(CLI::App& app, int argc, const char* const* argv) {
  CLI::App* level = &app;
  std::string path = "postern";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--config") ++i;
    if (word.starts_with('-')) continue;
    const auto commands =
        level->get_subcommands([](CLI::App* command) { return !command->get_name().empty(); });
    if (commands.empty()) return {};
    const auto found = std::ranges::find_if(
        commands, [&](CLI::App* command) { return command->get_name() == word; });
    if (found != commands.end()) {
      level = *found;
      path += ' ' + word;
      continue;
    }
    std::vector<std::string_view> names;
    names.reserve(commands.size());
    for (CLI::App* command : commands) names.push_back(command->get_name());
    const std::string_view meant = config::nearest_name(word, names);
    return fmt::format("{} is no command of `{}`; {}", config::shown(word), path,
                       meant.empty() ? fmt::format("there are {}", fmt::join(names, ", "))
                                     : fmt::format("did you mean \"{}\"?", meant));
  }
  return {};
}

}  // namespace

std::variant<Order, UsageAnswer> parse_command_line(int argc, const char* const* argv) {
  const auto words = std::make_shared<Words>();
  CLI::App app("Looks after the Postern mail relay.", "postern");
  app.require_subcommand(1);
  app.set_version_flag("--version", "postern " POSTERN_VERSION);
  app.add_option("--config", words->configuration, "the configuration file")->capture_default_str();
  app.add_flag("--json", words->json, "one JSON document instead of text");
  add_user_commands(app, *words);
  add_queue_commands(app, *words);
  add_other_commands(app, *words);
  add_backup_commands(app, words->configuration, words->run);
  let_options_fall_through(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return UsageAnswer{0, app.help(), {}, false};
  } catch (const CLI::CallForVersion&) {
    return UsageAnswer{0, app.version() + "\n", {}, false};
  } catch (const CLI::ParseError& error) {
    const std::string wrong = wrong_command(app, argc, argv);
    return UsageAnswer{
        exit_usage,
        "",
        {wrong.empty() ? error.what() : wrong, "Run `postern --help`, or the command with --help."},
        asks_for_json(argc, argv)};
  }
  return Order{words->json, [words] { return words->run(); }};
}

}  // namespace postern::tools
