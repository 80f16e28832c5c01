# fmt for the static binaries: Debian 13 has no libfmt.a, so its code is compiled here, once.
add_library(fmt_code STATIC ${CMAKE_CURRENT_LIST_DIR}/fmt_code.cpp)
add_library(fmt::fmt ALIAS fmt_code)
set(fmt_FOUND TRUE)
