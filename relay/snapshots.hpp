// From the whole configuration to the snapshot each driver needs: the one place that knows both
// sides.
#pragma once

#include "relay/config/configuration.hpp"
#include "relay/delivery/delivery_settings.hpp"
#include "relay/submission/submission_policy.hpp"

namespace postern {

[[nodiscard]] submission::PolicySnapshot submission_snapshot(
    const config::Configuration& configuration);
[[nodiscard]] delivery::SettingsSnapshot delivery_snapshot(
    const config::Configuration& configuration);

}  // namespace postern
