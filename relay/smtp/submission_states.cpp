// The server machine's table, drawn.
#include "relay/smtp/submission_states.hpp"

#include <algorithm>

namespace postern::smtp {
namespace {

std::string padded(std::string_view text, std::size_t width) {
  std::string cell(text);
  cell.resize(std::max(width, cell.size()), ' ');
  return cell;
}

}  // namespace

std::string submission_states_diagram() {
  constexpr std::size_t state_width = 20;
  constexpr std::size_t cell_width = 11;
  std::string diagram = padded("state", state_width);
  for (const std::string_view verb : verb_names) diagram += padded(verb, cell_width);
  diagram += '\n';
  for (std::size_t i = 0; i < submission_state_count; ++i) {
    diagram += padded(submission_state_names[i], state_width);
    if (reads_commands(static_cast<SubmissionState>(i))) {
      for (const SubmissionStep step : submission_table[i]) {
        diagram += padded(submission_step_names[static_cast<std::size_t>(step)], cell_width);
      }
    } else {
      // No verbs are told apart here, so one word says the row.
      diagram += "-- ";
      diagram += submission_step_names[static_cast<std::size_t>(submission_table[i][0])];
    }
    diagram += '\n';
  }
  return diagram;
}

}  // namespace postern::smtp
