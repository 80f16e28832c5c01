# fmt for the static binaries: Debian 13 has no libfmt.a, so the headers bring the code along (fmt's own mode for this).
add_library(fmt::fmt INTERFACE IMPORTED)
target_compile_definitions(fmt::fmt INTERFACE FMT_HEADER_ONLY=1)
set(fmt_FOUND TRUE)
