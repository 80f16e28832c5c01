// The client's life; see workload.hpp.
#include "tests/fault/workload.hpp"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "storage/database.hpp"

namespace postern::fault {

using storage::AttemptRecord;
using storage::NewMessage;
using storage::QueueStore;
using storage::RecipientState;

namespace {

// The queue is kept short by outcomes, so that the examination stays quick.
constexpr std::size_t messages_max = 12;

}  // namespace

RealFolder::RealFolder() {
  root_ = (std::filesystem::temp_directory_path() / "postern-fault-XXXXXX").string();
  if (::mkdtemp(root_.data()) == nullptr || ::mkdir(state().c_str(), 0700) != 0) std::abort();
}

RealFolder::~RealFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(root_, ignored);
}

Client::Client(const RealFolder& folder, std::uint64_t seed, Mutant mutant)
    : mutant_(mutant),
      state_(folder.state()),
      random_(seed),
      disk_(folder.root(), seed + 1),
      vfs_(disk_, mutant, seed + 2),
      files_(disk_, mutant) {}

void Client::complain(const std::string& what) {
  if (violation_.empty()) violation_ = what;
}

bool Client::open() {
  auto opened = QueueStore::open(state_, vfs_.name(), &files_);
  if (disk_.frozen()) return false;
  if (!opened) {
    if (!disk_.fault_met()) complain("the queue does not open: " + opened.error().text());
    return false;
  }
  store_ = std::move(*opened);
  disk_.suspend_faults(true);
  if (!store_->open_report().quarantined.empty()) complain("mail was quarantined at the start");
  const std::string fault = ledger_.examine(*store_);
  if (!fault.empty()) complain(fault);
  disk_.suspend_faults(false);
  return true;
}

void Client::kill() {
  disk_.freeze();
  store_.reset();
  disk_.thaw();
}

void Client::check_integrity() {
  store_.reset();
  sqlite3* connection = nullptr;
  sqlite3_stmt* statement = nullptr;
  std::string answer = "it does not open";
  if (sqlite3_open_v2(database().c_str(), &connection, SQLITE_OPEN_READWRITE, vfs_.name()) ==
          SQLITE_OK &&
      sqlite3_prepare_v2(connection, "PRAGMA integrity_check", -1, &statement, nullptr) ==
          SQLITE_OK &&
      sqlite3_step(statement) == SQLITE_ROW) {
    answer = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
  }
  sqlite3_finalize(statement);
  sqlite3_close(connection);
  if (answer != "ok") complain("the database is damaged: " + answer);
}

// --- Steps

void Client::run(std::uint64_t steps) {
  for (std::uint64_t step_number = 0; step_number < steps; ++step_number) {
    if (store_ == nullptr || disk_.frozen() || store_->death() != nullptr) return;
    step();
  }
}

void Client::step() {
  switch (random_.below(24)) {
    case 0:
      close();
      open();
      return;
    case 1:
      kill();
      open();
      return;
    case 2:
      abandon_spool_file();
      return;
    default:
      transact();
  }
  store_->maintain();
}

void Client::transact() { transact(random_.between(1, 4), 0); }

void Client::run_to_checkpoint() { fill_log(true); }

void Client::fill_log() { fill_log(false); }

void Client::fill_log(bool maintaining) {
  constexpr std::size_t body_bytes = 200'000;
  // A fifth more, because some transactions are rolled back.
  constexpr std::size_t log_bytes = std::size_t{storage::checkpoint_pages_min} * 4096 * 6 / 5;
  for (std::size_t sent = 0; sent < log_bytes; sent += 2 * body_bytes) {
    if (store_ == nullptr || disk_.frozen() || store_->death() != nullptr) return;
    transact(2, body_bytes);
    if (maintaining) store_->maintain();
  }
}

Result<> Client::remove_as_relayed(std::uint64_t number) {
  QueueState after = ledger_.certain();
  AttemptRecord record;
  record.id = QueueId{number};
  for (std::size_t index = 0; index < recipients_each; ++index) {
    record.recipients.push_back(
        {static_cast<std::int64_t>(index), RecipientState::relayed, "250 2.1.5 taken", false});
  }
  if (auto begun = store_->begin(); !begun) return begun;
  Result<> done = store_->record(record);
  const Result<> committed = store_->commit();
  if (done) done = committed;
  if (!done) return done;
  after.messages.erase(number);
  ledger_.committed(std::move(after));
  return {};
}

void Client::drain() {
  while (violation_.empty() && !ledger_.certain().messages.empty()) {
    const std::uint64_t number = ledger_.certain().messages.begin()->first;
    Result<> done = remove_as_relayed(number);
    if (!done && done.error().kind == ErrorKind::no_space) done = remove_as_relayed(number);
    if (!done) complain("an outcome cannot be recorded: " + done.error().text());
    store_->maintain();
    if (store_->death() != nullptr) complain("the store died: " + store_->death()->text());
  }
}

// Of `changes`, all inserts of one size where `body_bytes` tells it.
void Client::transact(std::uint64_t changes, std::size_t body_bytes) {
  if (!store_->begin()) return;
  QueueState after = ledger_.certain();
  for (std::uint64_t done = 0; done < changes; ++done) {
    if (body_bytes > 0) {
      insert(after, ledger_.new_message(body_bytes, false));
    } else {
      change(after);
    }
  }
  if (random_.one_in(16)) {
    store_->roll_back();
    return;
  }
  end_transaction(std::move(after));
}

void Client::end_transaction(QueueState after) {
  if (mutant_ == Mutant::answer_before_commit) ledger_.committed(after);
  vfs_.set_committing(true);
  const Result<> done = store_->commit();
  vfs_.set_committing(false);
  if (done || mutant_ == Mutant::failed_commit_ignored) {
    ledger_.committed(std::move(after));
  } else if (store_->death() != nullptr) {
    ledger_.unknown({ledger_.certain(), std::move(after)});
  }
}

void Client::change(QueueState& after) {
  const std::optional<std::uint64_t> some = pick(after);
  const std::uint64_t choice = random_.below(20);
  if (!some || (choice < 9 && after.messages.size() < messages_max)) {
    insert(after, new_recipe());
  } else if (choice < 15) {
    record(after);
  } else if (choice == 15) {
    if (store_->remove(QueueId{*some})) after.messages.erase(*some);
  } else if (choice == 16) {
    const bool held = random_.one_in(2);
    if (store_->set_held(QueueId{*some}, held)) after.messages[*some].held = held;
  } else if (choice == 17) {
    const std::string value = std::to_string(random_.below(1'000));
    if (store_->save_counter("relayed", value)) after.counters["relayed"] = value;
  } else {
    insert_twice(after);
  }
}

Recipe Client::new_recipe() {
  const std::uint64_t choice = random_.below(20);
  if (choice < 12) return ledger_.new_message(random_.between(0, 3'000), false);
  if (choice < 14) return ledger_.new_message(random_.between(20'000, 60'000), false);
  if (choice < 19) return ledger_.new_message(random_.between(1, 20'000), true);
  return ledger_.new_message(random_.between(60'000, 140'000), true);
}

std::optional<std::uint64_t> Client::pick(const QueueState& state) {
  if (state.messages.empty()) return std::nullopt;
  auto at = state.messages.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(random_.below(state.messages.size())));
  return at->first;
}

void Client::insert(QueueState& after, const Recipe& recipe) {
  Bytes spool_octets;
  const NewMessage message = ledger_.mail().make(recipe, spool_octets);
  std::optional<std::uint64_t> token;
  if (recipe.spooled) {
    token = next_token();
    ByteView rest(spool_octets);
    while (!rest.empty()) {
      const ByteView piece = rest.first(std::min<std::size_t>(rest.size(), 16'384));
      if (!store_->append_to_spool(*token, piece)) {
        store_->discard_spool(*token);
        return;
      }
      rest = rest.subspan(piece.size());
    }
  }
  if (store_->insert(message, token)) after.messages[recipe.number] = MessageState{};
}

// A second message of an id that is queued, or is being queued, is refused and harms nobody.
void Client::insert_twice(const QueueState& after) {
  const std::optional<std::uint64_t> some = pick(after);
  if (!some) return;
  Recipe recipe = ledger_.recipe(*some);
  recipe.spooled = false;
  recipe.body_bytes = 10;
  Bytes unused;
  if (store_->insert(ledger_.mail().make(recipe, unused), std::nullopt)) {
    complain(fmt::format("message {} was taken a second time", *some));
  }
}

AttemptRecord Client::make_record(std::uint64_t number, MessageState& state) {
  AttemptRecord record;
  record.id = QueueId{number};
  record.next_attempt = WallTime(Duration(1'800'000'900'000));
  ++state.attempts;
  for (std::size_t index = 0; index < recipients_each; ++index) {
    // An outcome is final: only who still waits is tried again.
    if (state.recipients[index] != RecipientState::waiting) continue;
    const std::uint64_t choice = random_.below(5);
    const auto outcome = choice < 2    ? RecipientState::relayed
                         : choice == 2 ? RecipientState::failed
                                       : RecipientState::waiting;
    state.recipients[index] = outcome;
    record.recipients.push_back(
        {static_cast<std::int64_t>(index), outcome, "250 2.1.5 as the upstream said", false});
  }
  return record;
}

void Client::record(QueueState& after) {
  const std::optional<std::uint64_t> some = pick(after);
  if (!some) return;
  MessageState state = after.messages.at(*some);
  AttemptRecord record = make_record(*some, state);
  std::optional<std::uint64_t> report;
  if (random_.one_in(4)) {
    const Recipe recipe = ledger_.new_message(random_.between(100, 2'000), false);
    Bytes unused;
    record.reports.push_back(ledger_.mail().make(recipe, unused));
    report = recipe.number;
  }
  if (!store_->record(record)) return;
  if (report) after.messages[*report] = MessageState{};
  const bool waits =
      std::ranges::find(state.recipients, RecipientState::waiting) != state.recipients.end();
  if (waits) {
    after.messages[*some] = state;
  } else {
    after.messages.erase(*some);
  }
}

// A client that went away in the middle of DATA.
void Client::abandon_spool_file() {
  const std::uint64_t token = next_token();
  static_cast<void>(store_->append_to_spool(token, Bytes(random_.between(1, 9'000))));
  if (random_.one_in(2)) store_->discard_spool(token);
}

}  // namespace postern::fault
