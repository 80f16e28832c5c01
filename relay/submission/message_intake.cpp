// From content to a committed message.
#include "relay/submission/message_intake.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "crypto/random.hpp"
#include "relay/queue/envelope_codec.hpp"
#include "storage/envelope_binding.hpp"

namespace postern::submission {
namespace {

// Names spool files inside this process; two workers must never meet.
std::uint64_t next_spool_token() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

smtp::Reply storage_refusal(const Error& error) {
  if (error.kind == ErrorKind::no_space) {
    return smtp::make_reply(452, {4, 3, 1}, "the relay's storage is full; try again later");
  }
  return smtp::make_reply(451, {4, 3, 0}, "the relay could not store the message; try again later");
}

// RFC 6409 §4.2: the addresses an answer goes to must be fully qualified, since nobody but this
// network could use them otherwise. To and Cc are left alone: devices write what they like there,
// and the mail goes where the envelope says. A field that cannot be understood is not ours to
// judge.
std::optional<smtp::Reply> unqualified_address(const message::Header& header) {
  constexpr std::array<std::string_view, 3> names = {"From", "Sender", "Reply-To"};
  for (const message::HeaderField& field : header.fields()) {
    if (!std::ranges::any_of(names, [&](std::string_view name) { return field.is(name); })) {
      continue;
    }
    for (const std::string& address :
         message::addresses_in(field).value_or(std::vector<std::string>{})) {
      const auto mailbox = smtp::parse_mailbox(address, true);
      if (!mailbox || mailbox->is_fully_qualified()) continue;
      return smtp::make_reply(554, {5, 6, 0},
                              "the domain of " + mailbox->text() + " in the " +
                                  std::string(field.name()) +
                                  " field is not fully qualified; give the full mail address");
    }
  }
  return std::nullopt;
}

}  // namespace

MessageIntake::MessageIntake(net::Loop& home, SubmissionServices& services, PolicySnapshot policy,
                             IntakeFacts facts, const smtp::Envelope& envelope, Events events)
    : home_(home),
      services_(services),
      policy_(std::move(policy)),
      facts_(std::move(facts)),
      envelope_(envelope),
      events_(std::move(events)),
      received_(read_clocks()),
      id_(QueueId::make(received_.wall, crypto::random_number())),
      key_(services_.queue_key.make_message_key(
          id_, storage::envelope_binding(facts_.user_name, queue::to_stored(envelope_.sender),
                                         queue::to_stored(envelope_.recipients)))),
      body_seal_(key_.key) {}

MessageIntake::~MessageIntake() {
  *alive_ = false;
  if (spool_token_) static_cast<void>(services_.storage.post(storage::DiscardSpool{*spool_token_}));
}

void MessageIntake::append(ByteView octets) {
  if (refused_) return;
  bytes_ += octets.size();
  if (header_done_) {
    append_body(octets);
    return;
  }
  ByteView rest;
  switch (collector_.feed(octets, rest)) {
    case message::HeaderCollector::Status::collecting:
      return;
    case message::HeaderCollector::Status::too_long:
      refuse(smtp::make_reply(552, {5, 3, 4}, "the header is longer than this relay takes"));
      return;
    case message::HeaderCollector::Status::complete:
      header_complete();
      if (!refused_) append_body(rest);
      return;
  }
}

void MessageIntake::header_complete() {
  header_done_ = true;
  auto parsed = message::Header::parse(collector_.block());
  if (!parsed) {
    refuse(smtp::make_reply(554, {5, 6, 0}, parsed.error().detail));
    return;
  }
  header_ = std::move(*parsed);

  const auto user = policy_->users.find(facts_.user_name);
  for (const std::string_view name : {"From", "Sender"}) {
    const message::HeaderField* const field = header_.find(name);
    if (field == nullptr) continue;  // a missing From is fix_up's to refuse; Sender is optional
    const auto addresses = message::addresses_in(*field);
    if (auto refusal = policy::check_author_field(user->second, name, addresses)) {
      refuse(std::move(*refusal));
      return;
    }
    if (name == "From" && !addresses->empty()) {
      if (const auto mailbox = smtp::parse_mailbox(addresses->front(), true))
        from_domain_ = mailbox->domain;
    }
  }

  if (auto refusal = unqualified_address(header_)) {
    refuse(std::move(*refusal));
    return;
  }

  message::SubmissionFacts submission{
      .hostname = policy_->hostname,
      .queue_id = id_.text(),
      .client_name = facts_.client_name,
      .client_address = facts_.client_address,
      .user_name = facts_.user_name,
      .tls_version = facts_.tls_version,
      .tls_cipher = facts_.tls_cipher,
      .utf8 = envelope_.sender.smtputf8,
      .show_user = policy_->received_shows_user,
      .single_recipient = std::nullopt,
      .now = received_.wall,
      .random_token = crypto::random_hex(12),
  };
  if (envelope_.recipients.size() == 1)
    submission.single_recipient = envelope_.recipients.front().mailbox.text();
  if (auto fixed = message::fix_up(header_, submission); !fixed) {
    const bool loop = fixed.error().kind == ErrorKind::unsupported;
    refuse(smtp::make_reply(554,
                            loop ? smtp::EnhancedStatus{5, 4, 6} : smtp::EnhancedStatus{5, 6, 0},
                            fixed.error().detail));
    return;
  }
  if (!collector_.body_prefix().empty()) append_body(as_bytes(collector_.body_prefix()));
}

void MessageIntake::append_body(ByteView octets) {
  if (octets.empty()) return;
  body_bytes_ += octets.size();
  body_hasher_.update(octets);
  body_seal_.write(octets, sealed_);
  if (sealed_.size() > storage::body_in_row_bytes_max || spool_token_) move_to_spool();
}

// Sends what is sealed to the storage thread. The first time this turns the message into a spooled
// one.
void MessageIntake::move_to_spool() {
  if (sealed_.empty() || spool_error_) return;
  if (!spool_token_) spool_token_ = next_spool_token();
  const std::size_t octets = sealed_.size();
  spooling_bytes_ += octets;
  storage::AppendToSpool request{*spool_token_, std::exchange(sealed_, {}), {}};
  request.done = [this, alive = alive_, &home = home_, octets](Result<> result) {
    static_cast<void>(home.post([this, alive, octets, result = std::move(result)]() mutable {
      if (*alive) spooled(octets, std::move(result));
    }));
  };
  if (!services_.storage.post(std::move(request))) {
    spooling_bytes_ -= octets;
    refuse(smtp::make_reply(452, {4, 3, 1},
                            "the relay is too busy to store the message; try again later"));
  }
}

void MessageIntake::spooled(std::size_t octets, Result<> result) {
  const bool was_full = window_full();
  spooling_bytes_ -= octets;
  // Either event may destroy this object, so it comes last.
  if (!result && !spool_error_) {
    spool_error_ = result.error();
    refuse(storage_refusal(result.error()));
  } else if (was_full && !window_full()) {
    events_.window_open();
  }
}

void MessageIntake::refuse(smtp::Reply reply) {
  if (refused_) return;
  refused_ = true;
  sealed_.clear();
  refusal_ = reply;
  if (done_) {
    answer_refusal();
  } else {
    events_.refuse(std::move(reply));
  }
}

// After the final dot. Posted, because the answer may destroy this object and its caller still uses
// it.
void MessageIntake::answer_refusal() {
  static_cast<void>(home_.post([this, alive = alive_] {
    if (*alive) std::exchange(done_, {})(refusal_);
  }));
}

struct MessageIntake::Signing {
  policy::SigningKeys keys;
  std::string header;  // unsigned
  std::vector<std::string> field_octets;
  crypto::Sha256Digest body_hash{};
  std::int64_t unix_seconds = 0;
  std::string signatures;
  std::optional<Error> error;
};

void MessageIntake::finish(Callback<smtp::Reply> done) {
  done_ = std::move(done);
  if (refused_) {  // found out when the dot was already on its way
    answer_refusal();
    return;
  }
  if (!header_done_) {
    collector_.finish();
    header_complete();
    if (refused_) return;
  }
  body_seal_.finish(sealed_);
  // The last chunk may be what makes it too large for the row.
  if (spool_token_ || sealed_.size() > storage::body_in_row_bytes_max) move_to_spool();
  if (!refused_) sign();
}

// RSA takes milliseconds, so signatures are made on the pool (relay/README.md, "Threads").
void MessageIntake::sign() {
  auto signing = std::make_unique<Signing>();
  signing->keys = policy::signing_keys(policy_->dkim_keys, from_domain_);
  signing->header = header_.octets();
  signing->body_hash = body_hasher_.finish();
  signing->unix_seconds =
      std::chrono::floor<std::chrono::seconds>(received_.wall).time_since_epoch().count();
  if (signing->keys.empty()) {
    commit(std::move(signing->header));
    return;
  }
  for (const auto& field : header_.fields()) signing->field_octets.push_back(field.octets);
  Signing* const work = signing.get();  // owned by the second callback, which outlives the first
  home_.run_on_pool(
      [work] {
        const std::vector<std::string_view> fields(work->field_octets.begin(),
                                                   work->field_octets.end());
        for (const auto& key : work->keys) {
          auto signature = key->sign(fields, work->body_hash, work->unix_seconds);
          if (!signature) {
            work->error = signature.error();
            return;
          }
          work->signatures += *signature;
        }
      },
      [this, alive = alive_, signing = std::move(signing)]() mutable {
        if (!*alive || refused_) return;
        if (signing->error && signing->error->kind == ErrorKind::invalid) {  // it stays so
          refuse(smtp::make_reply(554, {5, 6, 0}, signing->error->detail));
          return;
        }
        if (signing->error) {
          // An unsigned message would be refused or filtered far from here, where nobody learns
          // why.
          services_.log.event(LogLevel::error, "signing-failed")
              .field("queue_id", id_.text())
              .field("error", signing->error->text());
          refuse(smtp::make_reply(451, {4, 3, 0},
                                  "the relay could not sign the message; try again later"));
          return;
        }
        commit(signing->signatures + signing->header);
      });
}

// What the log tells of a message besides its summary.
struct MessageIntake::QueuedFacts {
  std::string client_address;
  std::size_t recipients;
  std::string message_id;
};

MessageIntake::QueuedFacts MessageIntake::queued_facts() const {
  const message::HeaderField* const message_id = header_.find("Message-ID");
  return {facts_.client_address, envelope_.recipients.size(),
          message_id != nullptr ? message_id->value() : ""};
}

void MessageIntake::log_queued(Logger& log, const storage::MessageSummary& summary,
                               const QueuedFacts& facts) {
  log.event(LogLevel::info, "message-queued")
      .field("queue_id", summary.id.text())
      .field("user", summary.user_name)
      .field("client_address", facts.client_address)
      .field("sender", summary.reverse_path)
      .field("recipients", facts.recipients)
      .field("bytes", summary.bytes)
      .field("message_id", facts.message_id);
}

void MessageIntake::commit(std::string header_octets) {
  // The empty line belongs to what is stored, so that delivery sends header and body as they are.
  header_octets += "\r\n";
  storage::InsertMessage request;
  request.message.id = id_;
  request.message.user_name = facts_.user_name;
  request.message.sender = queue::to_stored(envelope_.sender);
  request.message.recipients = queue::to_stored(envelope_.recipients);
  request.message.received = received_.wall;
  request.message.next_attempt = received_.wall;
  auto& content = request.message.content;
  content.wrapped_key = key_.wrapped;
  content.sealed_header = crypto::seal_small(key_.key, as_bytes(header_octets), "header");
  content.header_bytes = header_octets.size();
  content.body_bytes = body_bytes_;
  content.spooled = spool_token_.has_value();
  if (!content.spooled) content.sealed_body = std::move(sealed_);
  request.token =
      std::exchange(spool_token_, std::nullopt);  // from here on the store's to keep or discard

  // The log and delivery are told even when the session has gone meanwhile: the message is ours
  // now.
  request.done = [this, alive = alive_, &home = home_, &services = services_,
                  summary = storage::summary_of(request.message), facts = queued_facts(),
                  token = request.token](Result<> result) mutable {
    if (result) {
      log_queued(services.log, summary, facts);
      services.message_queued(std::move(summary));
    } else if (token) {
      static_cast<void>(services.storage.post(storage::DiscardSpool{*token}));
    }
    static_cast<void>(home.post([this, alive, result = std::move(result)]() mutable {
      if (*alive) answer(std::move(result));
    }));
  };
  const auto token = request.token;
  if (!services_.storage.post(std::move(request))) {
    spool_token_ = token;  // ours again, to be discarded
    answer(fail(ErrorKind::no_space, "store the message", "the storage thread's mailbox is full"));
  }
}

void MessageIntake::answer(Result<> committed) {
  if (refused_ || !done_) return;
  if (!committed) {
    services_.log.event(LogLevel::error, "message-not-stored")
        .field("queue_id", id_.text())
        .field("error", committed.error().text());
    refuse(storage_refusal(committed.error()));
    return;
  }
  std::exchange(done_, {})(smtp::make_reply(250, {2, 0, 0}, "queued as " + id_.text()));
}

}  // namespace postern::submission
