// A client of the queue store on a simulated disk: it does what the relay does, keeps the ledger of
// what it was told, and examines the queue after every start.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "storage/queue_store.hpp"
#include "tests/fault/ledger.hpp"
#include "tests/fault/mutant.hpp"
#include "tests/fault/simulated_disk.hpp"
#include "tests/fault/simulated_spool_files.hpp"
#include "tests/fault/simulated_vfs.hpp"

namespace postern::fault {

// A folder of the real disk, for what the store does not ask the simulated one: owner, mode, lock.
class RealFolder {
 public:
  RealFolder();
  ~RealFolder();
  RealFolder(const RealFolder&) = delete;
  RealFolder& operator=(const RealFolder&) = delete;
  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] std::string state() const { return root_ + "/state"; }

 private:
  std::string root_;
};

class Client {
 public:
  Client(const RealFolder& folder, std::uint64_t seed, Mutant mutant = Mutant::none);

  [[nodiscard]] SimulatedDisk& disk() { return disk_; }
  [[nodiscard]] storage::QueueStore* store() { return store_.get(); }
  [[nodiscard]] Ledger& ledger() { return ledger_; }
  [[nodiscard]] SeededRandom& random() { return random_; }
  [[nodiscard]] std::string database() const { return state_ + "/queue.db"; }
  // The first thing that was wrong, or nothing.
  [[nodiscard]] const std::string& violation() const { return violation_; }

  // Opens the queue, as after a start of the process, and examines it. False: it did not open,
  // which is a violation unless the disk had a part in it.
  bool open();
  void close() { store_.reset(); }  // cleanly, as at shutdown
  // As kill -9: the cache of the system keeps what was written.
  void kill();
  // Gives the store to somebody else, say a storage thread.
  [[nodiscard]] std::unique_ptr<storage::QueueStore> give_store() { return std::move(store_); }

  // Until the steps are done or the store is dead.
  void run(std::uint64_t steps);
  // Mail enough that the log is copied back.
  void run_to_checkpoint();
  // Mail enough that the next look after the disk copies the log back.
  void fill_log();
  // Records, a commit each, that every message was relayed. A commit that finds the disk full is
  // tried once more, and must then succeed.
  void drain();
  // SQLite's own examination of the database; the store is closed for it.
  void check_integrity();

  // A body to send; mostly small, some in a row of many pages, some in the spool.
  [[nodiscard]] Recipe new_recipe();
  // Some message that is certain to be queued, if there is one.
  [[nodiscard]] std::optional<std::uint64_t> pick(const QueueState& state);
  [[nodiscard]] storage::AttemptRecord make_record(std::uint64_t number, MessageState& state);
  [[nodiscard]] std::uint64_t next_token() { return ++token_; }
  void complain(const std::string& what);

 private:
  void step();
  void transact();
  void transact(std::uint64_t changes, std::size_t body_bytes);
  void fill_log(bool maintaining);
  [[nodiscard]] Result<> remove_as_relayed(std::uint64_t number);
  void end_transaction(QueueState after);
  void change(QueueState& after);
  void insert(QueueState& after, const Recipe& recipe);
  void insert_twice(const QueueState& after);
  void record(QueueState& after);
  void abandon_spool_file();

  Mutant mutant_;
  std::string state_;
  SeededRandom random_;
  SimulatedDisk disk_;
  SimulatedVfs vfs_;
  SimulatedSpoolFiles files_;
  Ledger ledger_;
  std::unique_ptr<storage::QueueStore> store_;
  std::string violation_;
  std::uint64_t token_ = 0;
};

}  // namespace postern::fault
