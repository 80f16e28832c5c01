// The shape of "answer me later": called exactly once, or dropped when nobody waits any more.
//
// Sharp edge: a callback handed to another thread runs on THAT thread. What it captures must be an
// id or a value, never a pointer to something that may be gone by then; net::Loop::post brings it
// home.
#pragma once

#include <functional>

namespace postern {

template <class... Arguments>
using Callback = std::move_only_function<void(Arguments...)>;

}  // namespace postern
