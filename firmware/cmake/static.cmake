# Read after project() when firmware/build compiles what goes into the image (CMAKE_PROJECT_INCLUDE): every library is
# taken as an archive, and the programs need nothing at run time.
set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
set(PKG_CONFIG_ARGN --static)  # what a library needs itself has to be linked, too
set(CMAKE_EXE_LINKER_FLAGS "${CMAKE_EXE_LINKER_FLAGS} -static-pie -Wl,--gc-sections")
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(fmt_DIR ${CMAKE_CURRENT_LIST_DIR})
