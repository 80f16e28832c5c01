# Finds mbedTLS 3.6 and offers it as `postern_mbedtls`, whose mbedcrypto the caller adds.
#
# Debian 13 ships it; on Debian 12 tools/install unpacks Debian 13's archives under build/mbedtls. The static
# archives are linked in both cases: one TLS code path, and nothing to find at run time. An older mbedTLS has
# no TLS 1.3 server, so it is refused here rather than half-working later.
set(postern_mbedtls_root ${CMAKE_SOURCE_DIR}/build/mbedtls/usr)
find_path(MBEDTLS_INCLUDE mbedtls/build_info.h HINTS ${postern_mbedtls_root}/include)
foreach(part mbedtls mbedx509 mbedcrypto)
  find_library(MBEDTLS_${part} NAMES lib${part}.a
    HINTS ${postern_mbedtls_root}/lib/${CMAKE_LIBRARY_ARCHITECTURE} ${postern_mbedtls_root}/lib
    PATH_SUFFIXES ${CMAKE_LIBRARY_ARCHITECTURE})
endforeach()
set(postern_mbedtls_version "none")
if(MBEDTLS_INCLUDE AND EXISTS ${MBEDTLS_INCLUDE}/mbedtls/build_info.h)
  file(STRINGS ${MBEDTLS_INCLUDE}/mbedtls/build_info.h line REGEX "define MBEDTLS_VERSION_STRING ")
  string(REGEX REPLACE ".*\"([0-9.]+)\".*" "\\1" postern_mbedtls_version "${line}")
endif()
if(postern_mbedtls_version STREQUAL "none" OR postern_mbedtls_version VERSION_LESS 3.6
   OR NOT postern_mbedtls_version VERSION_LESS 4 OR NOT MBEDTLS_mbedcrypto)
  message(FATAL_ERROR "Postern needs mbedTLS 3.6 (found: ${postern_mbedtls_version}). "
    "Run tools/install: it takes Debian 13's libmbedtls-dev, or the system's where that is 3.6.")
endif()
message(STATUS "mbedTLS ${postern_mbedtls_version} in ${MBEDTLS_INCLUDE}")
add_library(postern_mbedtls INTERFACE)
target_include_directories(postern_mbedtls SYSTEM INTERFACE ${MBEDTLS_INCLUDE})
target_link_libraries(postern_mbedtls INTERFACE ${MBEDTLS_mbedtls} ${MBEDTLS_mbedx509})
