// Results per recipient. Promise and sharp edge: see delivery_transaction.hpp.
#include "relay/smtp/delivery_transaction.hpp"

#include <algorithm>
#include <utility>

namespace postern::smtp {

DeliveryTransaction::DeliveryTransaction(Envelope envelope,
                                         std::optional<std::size_t> recipients_max)
    : envelope_(std::move(envelope)), results_(envelope_.recipients.size()) {
  recipients_ = envelope_.recipients.size();
  if (recipients_max && *recipients_max < recipients_) {
    recipients_ = *recipients_max;
    const std::string why = "left for the next transaction: the upstream takes at most " +
                            std::to_string(*recipients_max) + " recipients at a time";
    for (std::size_t i = recipients_; i < results_.size(); ++i) {
      results_[i] = RecipientResult{.detail = why};
    }
  }
}

void DeliveryTransaction::accept_current() {
  // A 250 to a pipelined RCPT after a refused MAIL means nothing.
  if (current_ < recipients_ && !results_[current_]) ++accepted_;
}

void DeliveryTransaction::refuse_current(const Reply& reply) {
  if (current_ >= recipients_ || results_[current_]) return;
  RecipientResult result{
      .kind = RecipientResult::Kind::refused, .reply = shortened(reply), .detail = {}};
  if (result.reply->code == 552) {
    result.reply->code = 452;
    if (result.reply->enhanced) result.reply->enhanced->status_class = 4;
  }
  results_[current_] = std::move(result);
}

void DeliveryTransaction::settle(const RecipientResult& result) {
  for (auto& place : results_) {
    if (!place) place = result;
  }
}

std::vector<RecipientResult> DeliveryTransaction::take_results() {
  std::vector<RecipientResult> results;
  results.reserve(results_.size());
  for (auto& place : results_) {
    results.push_back(place ? std::move(*place) : RecipientResult{});
  }
  return results;
}

}  // namespace postern::smtp
