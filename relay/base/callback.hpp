// The shape of "answer me later": called exactly once, or dropped when nobody waits any more.
//
// Sharp edge: a callback handed to another thread runs on THAT thread; net::Loop::post brings it
// home. What it captures must be an id, a value, or a pointer that it touches only at home and only
// after a flag shared with the pointer's owner said that the owner still lives (`alive_`).
#pragma once

#include <functional>

namespace postern {

template <class... Arguments>
using Callback = std::move_only_function<void(Arguments...)>;

}  // namespace postern
