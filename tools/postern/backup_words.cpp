// The words of `postern backup`, `restore` and `erase`; see the header.
#include "backup_words.hpp"

#include <memory>

#include "backup_commands.hpp"
#include "erase_commands.hpp"

namespace postern::tools {

namespace {

constexpr const char* authority_help =
    "the directory of an authority that is not beside the configuration";

void add_passphrase(CLI::App& command, BackupOrder& order) {
  CLI::Option_group* which =
      command.add_option_group("passphrase", "else it is asked for on the terminal");
  which->add_flag("--passphrase-stdin", order.passphrase.from_stdin, "take it from standard input");
  which->add_option("--passphrase-file", order.passphrase.file, "take a file's first line");
  which->require_option(0, 1);
}

}  // namespace

void add_backup_commands(CLI::App& app, const std::string& configuration,
                         std::function<Outcome<>()>& run) {
  const auto order = std::make_shared<BackupOrder>();
  const auto erasing = std::make_shared<EraseOrder>();
  CLI::App* make = app.add_subcommand(
      "backup", "write configuration, users, keys and queue into one sealed file");
  CLI::App* restore = app.add_subcommand("restore", "put back what a backup holds");
  for (CLI::App* command : {make, restore}) {
    command->add_option("FILE", order->file, "the backup")->required();
    command->add_option("--authority", order->authority, authority_help);
    add_passphrase(*command, *order);
  }
  make->get_option_group("passphrase")
      ->add_flag("--make-passphrase", order->passphrase.make, "make one and show it once");
  restore->add_flag("--replace", order->replace, "move what is there away first");
  restore->add_flag("--hold", order->hold, "send nothing of the queue until it is released");
  make->callback([&configuration, &run, order] {
    run = [&, order] { return make_backup(configuration, *order); };
  });
  restore->callback([&configuration, &run, order] {
    run = [&, order] { return restore_backup(configuration, *order); };
  });
  CLI::App* away =
      app.add_subcommand("erase", "destroy keys and data; say what to revoke elsewhere");
  away->add_flag("--show", erasing->show, "only say what would have to be revoked");
  away->add_option("--yes-erase-everything", erasing->confirmed_hostname,
                   "the hostname of the configuration, as a confirmation");
  away->add_option("--authority", erasing->authority, authority_help);
  away->callback([&configuration, &run, erasing] {
    run = [&, erasing] { return erase(configuration, *erasing); };
  });
}

}  // namespace postern::tools
