// toml++ as this project uses it: without exceptions, and precompiled because it is the slowest
// header we have. Included only by the loader.
#pragma once

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
// toml++ asserts what a file's text can break ("[#" at a line's start), and in a build with NDEBUG
// promises it to the compiler, which then may drop the check that follows. Without either the
// parser reports an error.
#define TOML_ASSERT(expression) static_assert(true)
#pragma push_macro("NDEBUG")
#undef NDEBUG
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <toml++/toml.h>
#pragma GCC diagnostic pop
#pragma pop_macro("NDEBUG")
