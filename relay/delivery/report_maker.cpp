// Writing, signing and sealing a report.
#include "relay/delivery/report_maker.hpp"

#include <utility>

#include "crypto/random.hpp"
#include "relay/delivery/message_source.hpp"
#include "relay/message/header.hpp"
#include "relay/queue/envelope_codec.hpp"
#include "storage/envelope_binding.hpp"

namespace postern::delivery {
namespace {

// What a report quotes of the original header: enough to recognise the mail, and a report always
// fits the queue's row whatever the header's size was.
constexpr std::size_t quoted_header_bytes_max = 32UZ * 1024;

// The report's own signatures; a failure to sign sends it unsigned: it is ours and better than
// silence.
std::string sign_report(const DeliverySnapshot& settings, const message::Report& report,
                        WallTime now) {
  auto header = message::Header::parse(report.header);
  if (!header) return {};
  crypto::DkimBodyHasher hasher;
  hasher.update(as_bytes(report.body));
  const auto body_hash = hasher.finish();
  std::vector<std::string_view> fields;
  for (const auto& field : header->fields()) fields.emplace_back(field.octets);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
  std::string signatures;
  for (const auto& key : policy::signing_keys(settings.dkim_keys, settings.postmaster.domain)) {
    if (auto signature = key->sign(fields, body_hash, seconds)) signatures += *signature;
  }
  return signatures;
}

}  // namespace

std::optional<smtp::Mailbox> report_addressee(const DeliverySnapshot& settings,
                                              const storage::StoredMessage& message,
                                              bool sender_known) {
  if (message.summary.user_name.empty()) {  // our own report
    for (const auto& recipient : message.recipients) {
      const auto mailbox = smtp::parse_mailbox(recipient.address, true);
      if (mailbox && smtp::same_mailbox(*mailbox, settings.postmaster)) return std::nullopt;
    }
    return settings.postmaster;
  }
  if (const auto owner = settings.owners.find(message.summary.user_name);
      owner != settings.owners.end()) {
    return owner->second;
  }
  if (sender_known) {
    if (auto sender = smtp::parse_mailbox(message.sender.reverse_path, true)) return sender;
  }
  return settings.postmaster;
}

Result<storage::NewMessage> make_report(const DeliverySnapshot& settings,
                                        const crypto::QueueKey& queue_key,
                                        const storage::StoredMessage& message,
                                        const smtp::Mailbox& addressee,
                                        std::vector<message::ReportedRecipient> recipients,
                                        WallTime now) {
  const QueueId id = QueueId::make(now, crypto::random_number());
  message::ReportFacts facts;
  facts.reporting_mta = settings.hostname;
  facts.to = addressee.text();
  facts.postmaster = settings.postmaster.text();
  facts.queue_id = message.summary.id.text();
  facts.message_id = id.text() + "." + crypto::random_hex(8) + "@" + settings.hostname;
  facts.boundary_token = crypto::random_hex(16);
  facts.user_name = message.summary.user_name;
  facts.arrival = message.summary.received;
  facts.now = now;
  if (const auto sender = queue::from_stored(message.sender))
    facts.envelope_id = sender->envelope_id;
  // A header that does not open is left out: the report itself matters more.
  if (auto header = open_header(queue_key, message)) {
    if (header->ends_with("\r\n\r\n")) header->resize(header->size() - 2);
    if (header->size() > quoted_header_bytes_max) {
      const auto cut = header->rfind("\r\n", quoted_header_bytes_max - 2);
      header->resize(cut == std::string::npos ? 0 : cut + 2);
    }
    facts.original_header = std::move(*header);
  }
  facts.recipients = std::move(recipients);
  const message::Report report = message::write_report(facts);

  const std::string header = sign_report(settings, report, now) + report.header + "\r\n";
  storage::NewMessage stored;
  stored.id = id;
  stored.received = now;
  stored.next_attempt = now;
  smtp::Sender sender;  // "<>" (RFC 3464 §2)
  sender.body = smtp::BodyType::eight_bit_mime;
  sender.smtputf8 = report.needs_utf8;
  stored.sender = queue::to_stored(sender);
  smtp::Recipient recipient;
  recipient.mailbox = addressee;
  recipient.notify = {.given = true,
                      .never = true};  // RFC 3461 §6.2 asks for NOTIFY=NEVER on reports
  stored.recipients = queue::to_stored(std::vector{recipient});
  const auto key = queue_key.make_message_key(id, storage::envelope_binding(stored));
  stored.content.wrapped_key = key.wrapped;
  stored.content.sealed_header = crypto::seal_small(key.key, as_bytes(header), "header");
  stored.content.header_bytes = header.size();
  stored.content.body_bytes = report.body.size();
  crypto::SealWriter seal(key.key);
  seal.write(as_bytes(report.body), stored.content.sealed_body);
  seal.finish(stored.content.sealed_body);
  return stored;
}

}  // namespace postern::delivery
